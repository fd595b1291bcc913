//! Values without elements in them.

use super::pattern::Pattern;

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
    /// What is allowed, as the end of a sentence.
    pub(crate) fn normal(&self, text: &str) -> Result<String, String> {
        let text = text.trim();
        match self {
            Self::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" | "1" => Ok("true".to_owned()),
                "false" | "0" => Ok("false".to_owned()),
                _ => Err("must be true or false".to_owned()),
            },
            Self::UnsignedInt { least, most } => {
                let digits = text.strip_prefix('+').unwrap_or(text);
                let is_number = digits.bytes().all(|octet| octet.is_ascii_digit());
                match digits.parse::<u32>() {
                    Ok(number) if is_number && (*least..=*most).contains(&number) => {
                        Ok(number.to_string())
                    }
                    Ok(_) | Err(_) => Err(format!("must be a number from {least} to {most}")),
                }
            }
            Self::Text(kind) => kind.normal(text),
        }
    }
}

impl TextType {
    fn normal(&self, text: &str) -> Result<String, String> {
        if !self.values.is_empty() {
            let known = self
                .values
                .iter()
                .find(|known| known.eq_ignore_ascii_case(text));
            return known
                .cloned()
                .ok_or_else(|| ["must be one of ", &self.values.join(", ")].concat());
        }
        let count = text.chars().count();
        if count < self.least || self.most.is_some_and(|most| count > most) {
            return Err(match self.most {
                Some(most) => format!("must have {} to {most} characters", self.least),
                None => format!("must have {} characters or more", self.least),
            });
        }
        if self
            .pattern
            .as_ref()
            .is_some_and(|pattern| !pattern.matches(text))
        {
            return Err("has characters, or a length, that it cannot have".to_owned());
        }
        Ok(text.to_owned())
    }
}
