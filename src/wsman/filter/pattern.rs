//! Patterns of `LIKE` ([MS-WMI] 2.2.1): `%`, `_`, `[a-f]`, `[a=f]`, `[^x]`.

use crate::cim::Part;
use crate::cim::Pattern;

use super::reason::Reason;

/// Reads a pattern whose first character is the `at`-th of the query. There
/// are no escapes: a bracket around `%`, `_` or `[` makes them mean themselves.
/// `]` is itself where it stands first in brackets, `-` and `=` where they
/// stand first or last.
///
/// # Errors
///
/// [`Reason::Unclosed`] for a bracket.
pub(super) fn read(text: &str, at: usize) -> Result<Pattern, Reason> {
    let mut parts = Vec::new();
    let mut rest = text.chars();
    let mut place = at;
    while let Some(character) = rest.next() {
        place += 1;
        let part = match character {
            '%' if parts.last() == Some(&Part::AnyRun) => continue,
            '%' => Part::AnyRun,
            '_' => Part::Any,
            '[' => {
                let inside = inside(rest.as_str()).ok_or(Reason::Unclosed(place - 1))?;
                rest = rest.as_str()[inside.len() + 1..].chars();
                place += inside.chars().count() + 1;
                set(inside)
            }
            other => Part::One(other),
        };
        parts.push(part);
    }
    Ok(Pattern(parts))
}

/// The text that the pattern is, if it takes no other (but for case).
pub(super) fn literal(pattern: &Pattern) -> Option<String> {
    let one = |part: &Part| match part {
        Part::One(character) => Some(*character),
        Part::Any | Part::AnyRun | Part::OneOf { .. } => None,
    };
    pattern.0.iter().map(one).collect()
}

/// What stands up to the bracket that closes.
fn inside(rest: &str) -> Option<&str> {
    let caret = usize::from(rest.starts_with('^'));
    // The first character inside closes nothing.
    let first = rest.get(caret..)?.chars().next()?.len_utf8();
    let from = caret + first;
    let close = rest.get(from..)?.find(']')?;
    rest.get(..from + close)
}

fn set(inside: &str) -> Part {
    let (is_negated, members) = match inside.strip_prefix('^') {
        Some(members) => (true, members),
        None => (false, inside),
    };
    let members: Vec<char> = members.chars().collect();
    let mut ranges = Vec::new();
    let mut rest = members.as_slice();
    while let Some((&first, after)) = rest.split_first() {
        // A range that is written backwards means the same.
        if let ['-' | '=', last, after @ ..] = after {
            ranges.push((first.min(*last), first.max(*last)));
            rest = after;
        } else {
            ranges.push((first, first));
            rest = after;
        }
    }
    match ranges.as_slice() {
        [(first, last)] if first == last && !is_negated => Part::One(*first),
        _ => Part::OneOf { is_negated, ranges },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(is_negated: bool, ranges: &[(char, char)]) -> Part {
        Part::OneOf {
            is_negated,
            ranges: ranges.to_vec(),
        }
    }

    fn parts(text: &str) -> Vec<Part> {
        read(text, 1).expect("a pattern").0
    }

    #[test]
    fn wildcards_and_sets_are_read() {
        assert_eq!(
            parts("a%_\\"),
            [Part::One('a'), Part::AnyRun, Part::Any, Part::One('\\')]
        );
        assert_eq!(parts("[a-f]"), [of(false, &[('a', 'f')])]);
        assert_eq!(parts("[a=f]"), [of(false, &[('a', 'f')])]);
        assert_eq!(parts("[f-a]"), [of(false, &[('a', 'f')])]);
        assert_eq!(parts("[^x]"), [of(true, &[('x', 'x')])]);
        assert_eq!(
            parts("[a-fx0=9é]"),
            [of(false, &[('a', 'f'), ('x', 'x'), ('0', '9'), ('é', 'é')])]
        );
        assert_eq!(parts("%%%"), [Part::AnyRun]);
        assert_eq!(parts(""), []);
    }

    #[test]
    fn brackets_make_a_wildcard_mean_itself() {
        assert_eq!(
            parts("[_][%][[]x]"),
            [
                Part::One('_'),
                Part::One('%'),
                Part::One('['),
                Part::One('x'),
                Part::One(']')
            ]
        );
        assert_eq!(parts("[]]"), [Part::One(']')]);
        assert_eq!(parts("[^]]"), [of(true, &[(']', ']')])]);
        assert_eq!(parts("[a-]"), [of(false, &[('a', 'a'), ('-', '-')])]);
        assert_eq!(parts("[-a]"), [of(false, &[('-', '-'), ('a', 'a')])]);
        assert_eq!(parts("[=]"), [Part::One('=')]);
        assert_eq!(parts("[x^]"), [of(false, &[('x', 'x'), ('^', '^')])]);
    }

    #[test]
    fn an_open_bracket_is_told_by_its_place_in_the_query() {
        for (text, at) in [
            ("[", 10),
            ("é[a", 11),
            ("[]", 10),
            ("[^]", 10),
            ("[a]_[", 14),
        ] {
            assert_eq!(read(text, 10), Err(Reason::Unclosed(at)), "{text}");
        }
    }

    #[test]
    fn a_pattern_costs_its_parts_and_ranges() {
        for (text, wanted) in [("", 0), ("ab_", 3), ("%%%%", 1), ("[a]", 1), ("[a-cx]%", 4)] {
            assert_eq!(Pattern(parts(text)).cost(), wanted, "{text}");
        }
    }

    #[test]
    fn text_without_wildcards_is_told() {
        let text = |pattern| literal(&Pattern(parts(pattern)));
        assert_eq!(text("a[_]b").as_deref(), Some("a_b"));
        assert_eq!(text("").as_deref(), Some(""));
        for pattern in ["a%", "_", "[ab]", "[^a]"] {
            assert_eq!(text(pattern), None, "{pattern}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn arbitrary_text_is_a_pattern_or_none(text in "[-a-cé=^%_\\[\\]]{0,20}", at in 1..9_usize) {
            if let Err(reason) = read(&text, at) {
                let Reason::Unclosed(place) = reason else {
                    return Err(TestCaseError::fail(reason.to_string()));
                };
                prop_assert_eq!(text.chars().nth(place - at), Some('['));
            }
        }
    }
}
