//! Values without elements in them.

use super::pattern::Pattern;

/// What a value should have been.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Wanted {
    /// A truth.
    #[error("must be true or false")]
    Boolean,
    /// A number.
    #[error("must be a number from {least} to {most}")]
    Number {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// One of these.
    #[error("must be one of {0}")]
    OneOf(String),
    /// Text of so many characters.
    #[error("must have {least} to {most} characters")]
    Length {
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// Text of a certain form.
    #[error("has characters, or a length, that it cannot have")]
    Form,
    /// No value at all.
    #[error("must hold elements")]
    Elements,
}

/// What a value may be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Simple {
    /// `true` or `false`, also written `1` and `0`.
    Boolean,
    /// `xs:unsignedInt` within a range.
    UnsignedInt {
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// Text.
    Text(TextType),
}

/// What a text may be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct TextType {
    /// Least number of characters.
    pub(super) least: usize,
    /// Most characters; none: no limit of its own.
    pub(super) most: Option<usize>,
    /// The whole text.
    pub(super) pattern: Option<Pattern>,
    /// The only values there are; empty: any.
    pub(super) values: Vec<String>,
}

impl Simple {
    /// The value that `text` stands for, in the one form that it has.
    ///
    /// # Errors
    ///
    /// [`Wanted`].
    pub(crate) fn normal(&self, text: &str) -> Result<String, Wanted> {
        let text = text.trim();
        match self {
            Self::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok("true".to_owned()),
                "false" | "0" => Ok("false".to_owned()),
                _ => Err(Wanted::Boolean),
            },
            Self::UnsignedInt { least, most } => {
                let digits = text.strip_prefix('+').unwrap_or(text);
                let is_number = digits.bytes().all(|octet| octet.is_ascii_digit());
                match digits.parse::<u32>() {
                    Ok(number) if is_number && (*least..=*most).contains(&number) => {
                        Ok(number.to_string())
                    }
                    Ok(_) | Err(_) => Err(Wanted::Number {
                        least: *least,
                        most: *most,
                    }),
                }
            }
            Self::Text(kind) => kind.normal(text),
        }
    }
}

impl TextType {
    fn normal(&self, text: &str) -> Result<String, Wanted> {
        if !self.values.is_empty() {
            let known = self
                .values
                .iter()
                .find(|known| known.eq_ignore_ascii_case(text));
            return known
                .cloned()
                .ok_or_else(|| Wanted::OneOf(self.values.join(", ")));
        }
        let count = text.chars().count();
        let most = self.most.unwrap_or(usize::MAX);
        if !(self.least..=most).contains(&count) {
            return Err(Wanted::Length {
                least: self.least,
                most,
            });
        }
        if self
            .pattern
            .as_ref()
            .is_some_and(|pattern| !pattern.matches(text))
        {
            return Err(Wanted::Form);
        }
        Ok(text.to_owned())
    }
}
