//! A sentence in the languages that the service speaks: a lower-case fragment
//! without a full stop. The Portuguese is that of Brazil.

use crate::bits::Language;

/// One sentence in every language.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// `en-US`.
    pub(super) english: &'static str,
    /// `pt-BR`.
    pub(super) portuguese: &'static str,
}

impl Words {
    pub(super) const fn new(english: &'static str, portuguese: &'static str) -> Self {
        Self {
            english,
            portuguese,
        }
    }

    /// The sentence in that language.
    pub(super) const fn of(self, language: Language) -> &'static str {
        match language {
            Language::English => self.english,
            Language::Portuguese => self.portuguese,
        }
    }
}
