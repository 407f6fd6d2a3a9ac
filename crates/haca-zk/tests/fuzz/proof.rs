//! Edits of proofs by their parts.

use haca_zk::field::{Base, CHARACTERISTIC, Cap, Extension, base, cap, from_coefficients};
use haca_zk::fraction::FractionProof;
use haca_zk::opening::OpeningProof;
use haca_zk::proof::{InferenceProof, RegistrationProof};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing, PrimeField64};
use p3_sumcheck::SumcheckData;
use p3_whir::QueryOpenings;

use super::random::{Random, edit_list};

/// A part of a proof.
enum Part<'a> {
    Values(&'a mut Vec<Extension>),
    Pairs(&'a mut Vec<[Extension; 2]>),
    Triples(&'a mut Vec<[Extension; 3]>),
    Fixed(&'a mut [Extension]),
    Digest(&'a mut [u8; 32]),
    Cap(&'a mut Option<Cap>),
    Digests(&'a mut Vec<[u8; 32]>),
    Work(&'a mut Base),
    Works(&'a mut Vec<Base>),
    BaseRows(&'a mut Vec<Vec<Base>>),
    Rows(&'a mut Vec<Vec<Extension>>),
}

impl Part<'_> {
    fn elements(&mut self) -> Vec<&mut Extension> {
        match self {
            Self::Values(values) => values.iter_mut().collect(),
            Self::Pairs(pairs) => pairs.iter_mut().flatten().collect(),
            Self::Triples(triples) => triples.iter_mut().flatten().collect(),
            Self::Fixed(values) => values.iter_mut().collect(),
            Self::Rows(rows) => rows.iter_mut().flatten().collect(),
            _ => Vec::new(),
        }
    }

    fn edit(&mut self, random: &mut Random, pool: &[Extension]) {
        if random.one_in(4) {
            return self.edit_shape(random);
        }
        match self {
            Self::Digest(digest) => edit_digest(random, digest),
            Self::Cap(root) => {
                let found = root.as_ref().and_then(|root| root.roots().first()).copied();
                let mut digest = found.unwrap_or_default();
                edit_digest(random, &mut digest);
                **root = (!random.one_in(8)).then(|| cap(digest));
            }
            Self::Digests(digests) if !digests.is_empty() => {
                let at = random.below(digests.len());
                edit_digest(random, &mut digests[at]);
            }
            Self::Work(work) => **work = other_base(random, **work),
            Self::Works(works) if !works.is_empty() => {
                let at = random.below(works.len());
                works[at] = other_base(random, works[at]);
            }
            Self::BaseRows(rows) => {
                let at = random.below(rows.len());
                if let Some(cell) = rows.get_mut(at).and_then(|row| row.first_mut()) {
                    *cell = other_base(random, *cell);
                }
            }
            _ => edit_elements(random, self.elements(), pool),
        }
    }

    fn edit_shape(&mut self, random: &mut Random) {
        match self {
            Self::Values(values) => edit_list(random, values),
            Self::Pairs(pairs) => edit_list(random, pairs),
            Self::Triples(triples) => edit_list(random, triples),
            Self::Fixed(values) => values.reverse(),
            Self::Digests(digests) => edit_list(random, digests),
            Self::Works(works) => edit_list(random, works),
            Self::BaseRows(rows) => edit_rows(random, rows),
            Self::Rows(rows) => edit_rows(random, rows),
            Self::Digest(_) | Self::Cap(_) | Self::Work(_) => {}
        }
    }
}

fn edit_rows<T: Clone>(random: &mut Random, rows: &mut Vec<Vec<T>>) {
    let at = random.below(rows.len());
    match rows.get_mut(at) {
        Some(row) if random.one_in(2) => edit_list(random, row),
        _ => edit_list(random, rows),
    }
}

fn edit_digest(random: &mut Random, digest: &mut [u8; 32]) {
    match random.below(4) {
        0 => *digest = [0; 32],
        1 => digest.reverse(),
        _ => digest[random.below(32)] ^= 1 << random.below(8),
    }
}

fn edit_elements(random: &mut Random, mut elements: Vec<&mut Extension>, pool: &[Extension]) {
    let count = elements.len();
    if count == 0 {
        return;
    }
    let (at, other) = (random.below(count), random.below(count));
    match random.below(5) {
        // Two values with the same sum.
        0 => {
            let moved = random_element(random);
            *elements[at] += moved;
            *elements[other] -= moved;
        }
        1 => {
            let (left, right) = (*elements[at], *elements[other]);
            (*elements[at], *elements[other]) = (right, left);
        }
        _ => *elements[at] = other_element(random, *elements[at], pool),
    }
}

/// Another value in the place of one.
pub fn other_element(random: &mut Random, value: Extension, pool: &[Extension]) -> Extension {
    match random.below(9) {
        0 => Extension::ZERO,
        1 => Extension::ONE,
        2 => -Extension::ONE,
        3 => random_element(random),
        4 if !pool.is_empty() => *random.pick(pool),
        5 => value + Extension::ONE,
        6 => -value,
        7 => value.double(),
        _ => {
            let coefficients: &[Base] = value.as_basis_coefficients_slice();
            let mut coefficients: [u64; 3] = std::array::from_fn(|at| coefficients[at].as_canonical_u64());
            coefficients[random.below(3)] = random.boundary() % CHARACTERISTIC;
            from_coefficients(coefficients).unwrap()
        }
    }
}

fn random_element(random: &mut Random) -> Extension {
    let coefficients = std::array::from_fn(|_| random.next() % CHARACTERISTIC);
    from_coefficients(coefficients).unwrap()
}

fn other_base(random: &mut Random, value: Base) -> Base {
    match random.below(5) {
        0 => Base::ZERO,
        1 => value + Base::ONE,
        2 => base(-1),
        3 => -value,
        _ => base((random.next() >> 1) as i64),
    }
}

/// Edits a proof of inferences; `donor` is another one.
pub fn edit_inference(random: &mut Random, proof: &mut InferenceProof, donor: &InferenceProof) {
    match random.below(24) {
        0 => proof.opening = donor.opening.clone(),
        1 => proof.matrices = donor.matrices.clone(),
        2 => proof.products = donor.products.clone(),
        3 => proof.witness = donor.witness.clone(),
        4 => {
            if let Some(witness) = &mut proof.witness {
                match &mut witness.opening {
                    Some(opening) => std::mem::swap(&mut proof.opening, opening),
                    None => witness.opening = Some(proof.opening.clone()),
                }
            }
        }
        5 => {
            if let Some(witness) = &mut proof.witness {
                std::mem::swap(&mut witness.lookups, &mut witness.tables);
            }
        }
        6 => {
            if let Some(witness) = &mut proof.witness {
                let tree = if random.one_in(2) {
                    &mut witness.lookups
                } else {
                    &mut witness.tables
                };
                edit_list(random, &mut tree.layers);
            }
        }
        7 => edit_list(random, &mut proof.opening.rounds),
        _ => edit_parts(random, &mut inference_parts(proof)),
    }
}

/// Edits a registration proof; `donor` is another one.
pub fn edit_registration(random: &mut Random, proof: &mut RegistrationProof, donor: &RegistrationProof) {
    match random.below(24) {
        0 => proof.opening = donor.opening.clone(),
        1 => proof.weights = donor.weights.clone(),
        2 => std::mem::swap(&mut proof.opening, &mut proof.weights),
        3 => std::mem::swap(&mut proof.lookups, &mut proof.tables),
        4 => edit_list(random, &mut proof.lookups.layers),
        5 => edit_list(random, &mut proof.weights.rounds),
        _ => edit_parts(random, &mut registration_parts(proof)),
    }
}

fn edit_parts(random: &mut Random, parts: &mut [Part<'_>]) {
    let pool: Vec<Extension> = parts
        .iter_mut()
        .flat_map(|part| part.elements().into_iter().map(|value| *value))
        .collect();
    let at = random.below(parts.len());
    if let Some(part) = parts.get_mut(at) {
        part.edit(random, &pool);
    }
}

fn inference_parts(proof: &mut InferenceProof) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    if let Some(witness) = &mut proof.witness {
        parts.push(Part::Digest(&mut witness.root));
        push_tree(&mut parts, &mut witness.lookups);
        push_tree(&mut parts, &mut witness.tables);
        parts.push(Part::Values(&mut witness.columns));
        parts.push(Part::Fixed(std::slice::from_mut(&mut witness.low)));
        parts.extend(witness.stages.as_mut().map(|stages| Part::Fixed(stages)));
        parts.push(Part::Values(&mut witness.multiplicities));
        parts.push(Part::Pairs(&mut witness.gather));
        parts.push(Part::Values(&mut witness.gathered));
        if let Some(opening) = &mut witness.opening {
            push_opening(&mut parts, opening);
        }
    }
    parts.extend(
        proof
            .combinations
            .as_mut()
            .map(|sum| Part::Fixed(std::slice::from_mut(sum))),
    );
    if let Some(products) = &mut proof.products {
        parts.push(Part::Fixed(std::slice::from_mut(&mut products.sum)));
        parts.push(Part::Triples(&mut products.rounds));
        parts.push(Part::Fixed(&mut products.factors));
    }
    let matrices = &mut proof.matrices;
    parts.push(Part::Values(&mut matrices.biases));
    parts.push(Part::Pairs(&mut matrices.rounds));
    parts.push(Part::Fixed(std::slice::from_mut(&mut matrices.inputs)));
    parts.push(Part::Values(&mut matrices.weights));
    if let Some(channels) = &mut matrices.channels {
        parts.push(Part::Pairs(&mut channels.rounds));
        parts.push(Part::Values(&mut channels.openings));
    }
    push_opening(&mut parts, &mut proof.opening);
    parts
}

fn registration_parts(proof: &mut RegistrationProof) -> Vec<Part<'_>> {
    let mut parts = vec![
        Part::Digest(&mut proof.root),
        Part::Values(&mut proof.cells),
        Part::Values(&mut proof.limbs),
        Part::Fixed(std::slice::from_mut(&mut proof.multiplicity)),
    ];
    push_tree(&mut parts, &mut proof.lookups);
    push_tree(&mut parts, &mut proof.tables);
    push_opening(&mut parts, &mut proof.opening);
    push_opening(&mut parts, &mut proof.weights);
    parts
}

fn push_tree<'a>(parts: &mut Vec<Part<'a>>, tree: &'a mut FractionProof) {
    parts.push(Part::Fixed(&mut tree.root));
    for layer in &mut tree.layers {
        parts.push(Part::Pairs(&mut layer.rounds));
        parts.push(Part::Fixed(&mut layer.ends));
    }
}

fn push_opening<'a>(parts: &mut Vec<Part<'a>>, opening: &'a mut OpeningProof) {
    parts.push(Part::Values(&mut opening.initial_ood_answers));
    push_sumcheck(parts, &mut opening.initial_sumcheck);
    for round in &mut opening.rounds {
        parts.push(Part::Cap(&mut round.commitment));
        parts.push(Part::Values(&mut round.ood_answers));
        parts.push(Part::Work(&mut round.pow_witness));
        match &mut round.openings {
            QueryOpenings::Base(opened) => {
                parts.push(Part::BaseRows(&mut opened.rows));
                parts.push(Part::Digests(&mut opened.proof.sibling_hashes));
            }
            QueryOpenings::Extension(opened) => {
                parts.push(Part::Rows(&mut opened.rows));
                parts.push(Part::Digests(&mut opened.proof.sibling_hashes));
            }
        }
        push_sumcheck(parts, &mut round.sumcheck);
    }
    parts.extend(
        opening
            .final_poly
            .as_mut()
            .map(|poly| Part::Fixed(poly.as_mut_slice())),
    );
    parts.push(Part::Work(&mut opening.final_pow_witness));
    match &mut opening.final_openings {
        QueryOpenings::Base(opened) => {
            parts.push(Part::BaseRows(&mut opened.rows));
            parts.push(Part::Digests(&mut opened.proof.sibling_hashes));
        }
        QueryOpenings::Extension(opened) => {
            parts.push(Part::Rows(&mut opened.rows));
            parts.push(Part::Digests(&mut opened.proof.sibling_hashes));
        }
    }
    if let Some(sumcheck) = &mut opening.final_sumcheck {
        push_sumcheck(parts, sumcheck);
    }
}

fn push_sumcheck<'a>(parts: &mut Vec<Part<'a>>, sumcheck: &'a mut SumcheckData<Base, Extension>) {
    parts.push(Part::Pairs(&mut sumcheck.polynomial_evaluations));
    parts.push(Part::Works(&mut sumcheck.pow_witnesses));
}
