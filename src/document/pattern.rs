//! `xs:pattern`, as far as it is needed: characters and classes of characters
//! in a row, each perhaps repeated. No groups and no alternatives.

/// A text matches it as a whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pattern {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Step {
    /// First and last character of each range.
    class: Vec<(char, char)>,
    least: usize,
    /// None: any number.
    most: Option<usize>,
}

impl Pattern {
    /// Reads `[0-9A-F]{40}`, `a+[b-c]*`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let class = match c {
                '[' => class(&mut rest)?,
                '\\' => vec![rest.next().map(|c| (c, c))?],
                '(' | ')' | '|' | '.' | '{' | '}' | '*' | '+' | '?' | ']' => return None,
                c => vec![(c, c)],
            };
            let (least, most) = match rest.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => {
                    rest.next();
                    let count = count(&mut rest)?;
                    steps.push(Step {
                        class,
                        least: count,
                        most: Some(count),
                    });
                    continue;
                }
                _ => {
                    steps.push(Step {
                        class,
                        least: 1,
                        most: Some(1),
                    });
                    continue;
                }
            };
            rest.next();
            steps.push(Step { class, least, most });
        }
        (steps.len() <= MAX_STEPS).then_some(Self { steps })
    }

    /// Holds when all of `text` matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        // How often the current step has matched, for every way to come here:
        // (step, times). There are never more than steps × counts of them.
        let mut places = vec![(0, 0)];
        self.pass(&mut places);
        for c in text.chars() {
            let mut next = Vec::new();
            for (at, times) in places {
                let Some(step) = self.steps.get(at) else {
                    continue;
                };
                let may = step.most.is_none_or(|most| times < most);
                if may
                    && step
                        .class
                        .iter()
                        .any(|(from, to)| (*from..=*to).contains(&c))
                {
                    // Beyond what must be there, an unbounded step stays put.
                    let times = match step.most {
                        None => (times + 1).min(step.least),
                        Some(_) => times + 1,
                    };
                    next.push((at, times));
                }
            }
            self.pass(&mut next);
            places = next;
        }
        places.iter().any(|(at, _)| *at == self.steps.len())
    }

    /// Adds the places that follow without a character.
    fn pass(&self, places: &mut Vec<(usize, usize)>) {
        let mut looked_at = 0;
        while let Some(&(at, times)) = places.get(looked_at) {
            looked_at += 1;
            let is_done = self.steps.get(at).is_some_and(|step| times >= step.least);
            if is_done && !places.contains(&(at + 1, 0)) {
                places.push((at + 1, 0));
            }
        }
        places.sort_unstable();
        places.dedup();
    }
}

/// What stands in `{…}`.
fn count(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut digits = String::new();
    loop {
        match rest.next()? {
            '}' => return digits.parse().ok().filter(|count| *count <= MAX_COUNT),
            c => digits.push(c),
        }
    }
}

/// What stands in `[…]`.
fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Vec<(char, char)>> {
    let mut ranges = Vec::new();
    if rest.peek() == Some(&'^') {
        return None;
    }
    loop {
        let from = match rest.next()? {
            ']' => return (!ranges.is_empty()).then_some(ranges),
            '\\' => rest.next()?,
            c => c,
        };
        if rest.peek() != Some(&'-') {
            ranges.push((from, from));
            continue;
        }
        rest.next();
        match rest.next()? {
            ']' => return None,
            to if from <= to => ranges.push((from, to)),
            _ => return None,
        }
    }
}

const MAX_STEPS: usize = 64;

const MAX_COUNT: usize = 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).expect(pattern).matches(text)
    }

    #[test]
    fn a_text_matches_as_a_whole() {
        assert!(matches("[0-9a-f]{4}", "12ef"));
        for wrong in ["", "123", "12345", "12eg"] {
            assert!(!matches("[0-9a-f]{4}", wrong), "{wrong}");
        }
        assert!(matches("[A-Z]*", "") && matches("[A-Z]*", "ABC") && !matches("[A-Z]*", "ABc"));
        assert!(matches("a+[ab]?b", "aab") && matches("a+[ab]?b", "aaab"));
        assert!(!matches("a+[ab]?b", "b") && matches("\\.x", ".x"));
        assert!(matches("", "") && !matches("", "a"));
    }

    #[test]
    fn what_is_not_understood_is_no_pattern() {
        for text in [
            "(a)", "a|b", ".", "[^a]", "[", "[]", "a{", "a{x}", "a{4", "a{9999}", "*", "[a-]",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_patterns_and_texts_come_to_an_end(
            pattern in "[a-c\\[\\]{}*+?\\-0-9]{0,20}",
            text in "[a-c]{0,40}",
        ) {
            if let Some(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.matches(&text);
            }
        }
    }
}
