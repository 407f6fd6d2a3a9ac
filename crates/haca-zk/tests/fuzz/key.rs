//! Edits of verifying keys by their fields. The result need not be a key.

use haca_wire::Encode;
use haca_wire::codec::put_list;
use haca_zk::field::{Extension, extension_bytes};
use haca_zk::schedule::Schedule;
use haca_zk::witness::BatchParameters;
use haca_zk::{PROTOCOL_VERSION, ProtocolParameters, TABLE_CATALOGUE, VerifyingKey};

use super::proof::other_element;
use super::random::{Random, edit_bytes, edit_list};

/// The fields of a key. What the graph checks is kept as bytes, item by item.
pub struct KeyFields {
    version: u8,
    catalogue: [u8; 4],
    name: Vec<u8>,
    graph_version: u8,
    /// Inputs, parameters, nodes, outputs.
    lists: [Vec<Vec<u8>>; 4],
    render: Vec<u8>,
    tokenizer: [u8; 32],
    parameters: ProtocolParameters,
    root: [u8; 32],
    answers: Vec<Extension>,
}

impl KeyFields {
    pub fn of(key: &VerifyingKey) -> Self {
        let (manifest, graph) = (key.manifest(), &key.manifest().graph);
        let outputs = graph.outputs().iter();
        Self {
            version: PROTOCOL_VERSION,
            catalogue: TABLE_CATALOGUE,
            name: manifest.name.encode(),
            graph_version: graph.encode()[0],
            lists: [
                graph.inputs().iter().map(Encode::encode).collect(),
                graph.params().iter().map(Encode::encode).collect(),
                graph.nodes().iter().map(Encode::encode).collect(),
                outputs
                    .map(|(value, spec)| [value.encode(), spec.encode()].concat())
                    .collect(),
            ],
            render: manifest.render.encode(),
            tokenizer: manifest.tokenizer,
            parameters: key.parameters().clone(),
            root: *key.root(),
            answers: key.answers().to_vec(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.version];
        out.extend(self.catalogue);
        out.extend(&self.name);
        out.push(self.graph_version);
        for list in &self.lists {
            // The bytes of an item are what its encoding is.
            let items: Vec<Item<'_>> = list.iter().map(|bytes| Item(bytes)).collect();
            put_list(&mut out, &items);
        }
        out.extend(&self.render);
        out.extend(self.tokenizer);
        self.parameters.encode_into(&mut out);
        out.extend(self.root);
        self.answers
            .iter()
            .for_each(|answer| out.extend(extension_bytes(*answer)));
        out
    }

    /// Changes one field; `donor` is another key.
    pub fn edit(&mut self, random: &mut Random, donor: &Self) {
        match random.below(20) {
            0 => self.root[random.below(32)] ^= 1 << random.below(8),
            1 => edit_list(random, &mut self.answers),
            2 => {
                let at = random.below(self.answers.len());
                if let Some(answer) = self.answers.get_mut(at) {
                    *answer = other_element(random, *answer, &donor.answers);
                }
            }
            3 => self.tokenizer[random.below(32)] ^= 1 << random.below(8),
            4 => edit_bytes(random, &mut self.name, &donor.name),
            5 => edit_bytes(random, &mut self.render, &donor.render),
            6 => self.parameters = donor.parameters.clone(),
            7 => self.catalogue[random.below(4)] ^= 1 << random.below(8),
            8 if random.one_in(4) => self.version ^= 1 << random.below(8),
            8 if random.one_in(4) => self.graph_version ^= 1 << random.below(8),
            9..=13 => edit_parameters(random, &mut self.parameters, &donor.parameters),
            _ => self.edit_graph(random, donor),
        }
    }

    fn edit_graph(&mut self, random: &mut Random, donor: &Self) {
        let which = *random.pick(&[0, 1, 1, 2, 2, 2, 2, 3]);
        let (list, others) = (&mut self.lists[which], &donor.lists[which]);
        let at = random.below(list.len());
        match random.below(4) {
            0 => edit_list(random, list),
            1 if !list.is_empty() && !others.is_empty() => list[at] = random.pick(others).clone(),
            // A small change leaves most of what the graph checks in place.
            _ => {
                let Some(item) = list.get_mut(at) else { return };
                let byte = random.below(item.len());
                match (random.below(3), item.get_mut(byte)) {
                    (0, Some(byte)) => *byte = byte.wrapping_add(1),
                    (1, Some(byte)) => *byte = byte.wrapping_sub(1),
                    _ => edit_bytes(random, item, &donor.name),
                }
            }
        }
    }
}

struct Item<'a>(&'a [u8]);

impl Encode for Item<'_> {
    fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

fn edit_parameters(random: &mut Random, parameters: &mut ProtocolParameters, donor: &ProtocolParameters) {
    match random.below(8) {
        0 => edit_number(random, &mut parameters.pieces),
        1 => edit_schedule(random, &mut parameters.weights),
        2 => edit_schedule(random, &mut parameters.registration),
        3 => std::mem::swap(&mut parameters.weights, &mut parameters.registration),
        4 => edit_list(random, &mut parameters.batches),
        5 => parameters.batches = donor.batches.clone(),
        _ => {
            let at = random.below(parameters.batches.len());
            if let Some(batch) = parameters.batches.get_mut(at) {
                edit_batch(random, batch, donor);
            }
        }
    }
}

fn edit_batch(random: &mut Random, batch: &mut BatchParameters, donor: &ProtocolParameters) {
    let Some(witness) = &mut batch.witness else {
        batch.witness = donor.batches.iter().find_map(|batch| batch.witness.clone());
        return;
    };
    match random.below(7) {
        0 => edit_number(random, &mut witness.limb_bits),
        1 => edit_number(random, &mut witness.limbs),
        2 => edit_number(random, &mut witness.window_bits),
        3 => edit_number(random, &mut witness.high_bits),
        4 => batch.witness = None,
        _ => edit_schedule(random, &mut witness.schedule),
    }
}

fn edit_schedule(random: &mut Random, schedule: &mut Schedule) {
    let list = if random.one_in(2) {
        &mut schedule.folds
    } else {
        &mut schedule.log_inverse_rates
    };
    let at = random.below(list.len());
    match random.below(3) {
        0 => edit_list(random, list),
        1 => edit_number(random, &mut schedule.grinding_bits),
        _ => list
            .get_mut(at)
            .into_iter()
            .for_each(|number| edit_number(random, number)),
    }
}

fn edit_number(random: &mut Random, number: &mut u8) {
    *number = match random.below(3) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        _ => random.boundary() as u8,
    };
}
