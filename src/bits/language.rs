//! The languages that the service speaks to people.

/// A language of sentences for people.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Language {
    /// `en-US`, also for whoever asks for a language that is not spoken here.
    #[default]
    English,
    /// `pt-BR`.
    Portuguese,
}

impl Language {
    /// The language of an `xml:lang` such as `pt-BR`, by its first part.
    pub(crate) fn from_tag(tag: &str) -> Self {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default();
        if primary.eq_ignore_ascii_case("pt") {
            Self::Portuguese
        } else {
            Self::English
        }
    }

    /// The language of a `LANGID` of Windows, whose lower ten bits name it.
    pub(crate) fn from_langid(langid: u32) -> Self {
        if langid & 0x3ff == PORTUGUESE {
            Self::Portuguese
        } else {
            Self::English
        }
    }

    /// Its `xml:lang`.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en-US",
            Self::Portuguese => "pt-BR",
        }
    }
}

/// `LANG_PORTUGUESE`.
const PORTUGUESE: u32 = 0x16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_that_is_not_spoken_is_english() {
        for (tag, language) in [
            ("pt-BR", Language::Portuguese),
            (" PT ", Language::Portuguese),
            ("pt_PT", Language::Portuguese),
            ("en-US", Language::English),
            ("ptx", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::from_tag(tag), language, "{tag}");
        }
        assert_eq!(Language::from_langid(0x0416), Language::Portuguese);
        assert_eq!(Language::from_langid(0x0816), Language::Portuguese);
        assert_eq!(Language::from_langid(0x0409), Language::English);
        assert_eq!(Language::from_langid(0), Language::English);
    }
}
