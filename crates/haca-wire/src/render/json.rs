//! A JSON reader for exactly what requests hold: objects, arrays, plain strings, exact numbers (RFC 8259).

use super::{Decimal, RenderError};

/// Bytes of a key or string.
const STRING_BYTES: usize = 256;
/// Digits of an exponent.
const EXPONENT_DIGITS: usize = 4;
/// The largest number that a decimal's digits form without the point: 19 nines.
const MAX_DIGITS: u64 = 9_999_999_999_999_999_999;

/// A cursor over JSON text. Nesting is bounded by the callers, which call each other and never themselves.
pub(super) struct Parser<'a> {
    text: &'a [u8],
    offset: usize,
}

impl<'a> Parser<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self { text, offset: 0 }
    }

    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// Succeeds when nothing but white space is left.
    pub(super) fn finish(&mut self) -> Result<(), RenderError> {
        self.space();
        if self.peek().is_some() {
            self.expected("the end of the request")
        } else {
            Ok(())
        }
    }

    /// Reads an object; `member` is called at each value.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), RenderError>,
    ) -> Result<(), RenderError> {
        self.punctuation(b'{', "an object")?;
        if self.try_punctuation(b'}') {
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.punctuation(b':', "a colon")?;
            self.space();
            member(self, &key)?;
            if !self.try_punctuation(b',') {
                return self.punctuation(b'}', "a comma or the end of the object");
            }
        }
    }

    /// Reads an array of at most `limit` items; `item` is called at each.
    pub(super) fn array(
        &mut self,
        limit: usize,
        mut item: impl FnMut(&mut Self) -> Result<(), RenderError>,
    ) -> Result<(), RenderError> {
        self.punctuation(b'[', "an array")?;
        if self.try_punctuation(b']') {
            return Ok(());
        }
        for _ in 0..limit {
            item(self)?;
            if !self.try_punctuation(b',') {
                return self.punctuation(b']', "a comma or the end of the array");
            }
        }
        self.expected("the end of an array that is too long")
    }

    /// Reads a string of printable ASCII without escapes: names and hexadecimal ids need no others.
    pub(super) fn string(&mut self) -> Result<String, RenderError> {
        self.punctuation(b'"', "a string")?;
        let mut out = String::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.advance();
                    return Ok(out);
                }
                Some(byte @ (b' '..=b'~')) if byte != b'\\' && out.len() < STRING_BYTES => {
                    out.push(char::from(byte));
                    self.advance();
                }
                _ => return self.expected("a short string of printable ASCII without escapes"),
            }
        }
    }

    /// Reads a number exactly: at most 19 significant digits, at most four digits of exponent.
    pub(super) fn decimal(&mut self) -> Result<Decimal, RenderError> {
        self.space();
        let negative = self.take(b'-');
        let mut digits = 0u64;
        let mut exponent = 0i32;
        if self.take(b'0') {
            if self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                return self.expected("no digit after a leading zero");
            }
        } else if self.digits(&mut digits)? == 0 {
            return self.expected("a number");
        }
        if self.take(b'.') {
            let count = self.digits(&mut digits)?;
            if count == 0 {
                return self.expected("a digit");
            }
            exponent = 0i32.saturating_sub(i32::try_from(count).unwrap_or(i32::MAX));
        }
        if self.take(b'e') || self.take(b'E') {
            exponent = exponent.saturating_add(self.exponent()?);
        }
        Ok(Decimal {
            negative,
            digits,
            exponent,
        })
    }

    fn exponent(&mut self) -> Result<i32, RenderError> {
        let negative = if self.take(b'-') {
            true
        } else {
            self.take(b'+');
            false
        };
        let mut value = 0u64;
        let count = self.digits(&mut value)?;
        if count == 0 || count > EXPONENT_DIGITS {
            return self.expected("an exponent of one to four digits");
        }
        let value = i32::try_from(value).unwrap_or(i32::MAX);
        Ok(if negative {
            0i32.saturating_sub(value)
        } else {
            value
        })
    }

    /// Appends decimal digits to `value`; how many there were. Refuses what leaves [`MAX_DIGITS`].
    fn digits(&mut self, value: &mut u64) -> Result<usize, RenderError> {
        let start = self.offset;
        while let Some(byte @ b'0'..=b'9') = self.peek() {
            let digit = u64::from(byte.wrapping_sub(b'0'));
            match value.checked_mul(10).and_then(|value| value.checked_add(digit)) {
                Some(longer) if longer <= MAX_DIGITS => *value = longer,
                _ => return self.expected("at most 19 significant digits"),
            }
            self.advance();
        }
        Ok(self.offset.saturating_sub(start))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.offset).copied()
    }

    fn advance(&mut self) {
        self.offset = self.offset.saturating_add(1);
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.advance();
        }
        found
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.advance();
        }
    }

    fn try_punctuation(&mut self, byte: u8) -> bool {
        self.space();
        self.take(byte)
    }

    fn punctuation(&mut self, byte: u8, expected: &'static str) -> Result<(), RenderError> {
        if self.try_punctuation(byte) {
            Ok(())
        } else {
            self.expected(expected)
        }
    }

    fn expected<T>(&self, expected: &'static str) -> Result<T, RenderError> {
        Err(RenderError::Syntax {
            offset: self.offset,
            expected,
        })
    }
}
