//! What a proof is about, as one byte string: the file that `haca zk prove` writes.

use haca_wire::codec::put_list;
use haca_wire::{Decode, DecodeError, Encode, Inference, Reader, limit};

/// Context and public tensors of a proof. Encoded as the 32 bytes of the context, then the list of inferences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What the proof was made for; see `spec/zk.md`.
    pub context: [u8; 32],
    /// Input and output tensors of each inference, at most [`limit::ITEMS`].
    pub inferences: Vec<Inference>,
}

impl Encode for Statement {
    fn encode_into(&self, out: &mut Vec<u8>) {
        self.context.encode_into(out);
        put_list(out, &self.inferences);
    }
}

impl Decode for Statement {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            context: reader.array()?,
            inferences: reader.list("inferences", limit::ITEMS)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use haca_wire::{DType, Decode as _, Encode as _, Inference, Shape, Tensor};

    use super::Statement;

    #[test]
    fn has_one_encoding() {
        let shape = Shape::new(vec![2]).expect("a shape");
        let tensor = Tensor::new(DType::I8, shape, vec![-1, 7]).expect("a tensor");
        let inference = Inference {
            inputs: vec![tensor.clone()],
            outputs: vec![tensor],
        };
        let statement = Statement {
            context: [3; 32],
            inferences: vec![inference],
        };
        let bytes = statement.encode();
        assert_eq!(Statement::decode_all(&bytes), Ok(statement));
        assert!(Statement::decode_all(bytes.get(..40).expect("longer")).is_err());
        assert!(Statement::decode_all(&[bytes, vec![0]].concat()).is_err());
    }
}
