//! Reads classes from MOF (DSP0004 annex A), as much of it as `schemas/` needs:
//! the namespace pragma, qualifiers, superclasses, properties, methods. Default
//! values, references and qualifier declarations are refused, not skipped. What
//! a class inherits is [`super::inherit`]'s to add.

use super::Class;
use super::Method;
use super::Origin;
use super::Parameter;
use super::Property;
use super::Qualifier;
use super::Type;
use super::Value;
use super::class::is_set;

/// The text is no MOF that this reader takes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(crate) struct MofError {
    /// Where, counted from 1.
    pub(crate) line: u32,
    /// What is wrong there.
    pub(crate) message: String,
}

/// Reads every class of `text`, in its order.
///
/// # Errors
///
/// [`MofError`] with the first line that is wrong.
pub(crate) fn parse(text: &str) -> Result<Vec<Class>, MofError> {
    if text.len() > MAX_OCTETS {
        return Err(MofError {
            line: 1,
            message: format!("more than {MAX_OCTETS} octets"),
        });
    }
    let mut parser = Parser {
        rest: text,
        line: 1,
        token: Token::End,
        token_line: 1,
        namespace: String::new(),
    };
    parser.advance()?;
    let mut classes = Vec::new();
    while parser.token != Token::End {
        if parser.token == Token::Symbol('#') {
            parser.pragma()?;
        } else {
            classes.push(parser.class()?);
        }
    }
    Ok(classes)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(i128),
    Symbol(char),
    End,
}

struct Parser<'a> {
    rest: &'a str,
    line: u32,
    token: Token,
    token_line: u32,
    namespace: String,
}

/// `type name` or `type name[]`, as properties, parameters and methods begin.
struct Declared {
    qualifiers: Vec<Qualifier>,
    kind: Type,
    name: String,
    is_array: bool,
}

impl Parser<'_> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, MofError> {
        Err(MofError {
            line: self.token_line,
            message: message.into(),
        })
    }

    /// Reads the next token into `self.token`.
    fn advance(&mut self) -> Result<(), MofError> {
        self.skip_blank()?;
        self.token_line = self.line;
        let Some(first) = self.rest.chars().next() else {
            self.token = Token::End;
            return Ok(());
        };
        self.token = match first {
            '"' => self.text()?,
            '-' | '+' | '0'..='9' => self.number()?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
                Token::Word(word.to_owned())
            }
            '[' | ']' | '(' | ')' | '{' | '}' | ',' | ';' | ':' | '#' | '=' => {
                self.rest = &self.rest[1..];
                Token::Symbol(first)
            }
            other => return self.error(format!("unexpected character {other:?}")),
        };
        Ok(())
    }

    fn skip_blank(&mut self) -> Result<(), MofError> {
        loop {
            self.take_while(char::is_whitespace);
            if self.rest.starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if let Some(after) = self.rest.strip_prefix("/*") {
                let Some((comment, rest)) = after.split_once("*/") else {
                    self.token_line = self.line;
                    return self.error("comment without end");
                };
                self.count_lines(comment);
                self.rest = rest;
            } else {
                return Ok(());
            }
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.count_lines(taken);
        self.rest = rest;
        taken
    }

    fn count_lines(&mut self, text: &str) {
        let lines = text.bytes().filter(|octet| *octet == b'\n').count();
        self.line = self
            .line
            .saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
    }

    fn text(&mut self) -> Result<Token, MofError> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(Token::Text(text));
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, 'r')) => text.push('\r'),
                    Some((_, escaped @ ('"' | '\'' | '\\'))) => text.push(escaped),
                    _ => return self.error("unknown escape in a text"),
                },
                '\n' => return self.error("text without end on its line"),
                c => text.push(c),
            }
        }
        self.error("text without end")
    }

    fn number(&mut self) -> Result<Token, MofError> {
        let token_line = self.token_line;
        let digits = self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+'));
        let number = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
            Some(hex) if !hex.starts_with(['-', '+']) => i128::from_str_radix(hex, 16),
            _ => digits.parse(),
        };
        match number {
            Ok(number) if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number) => {
                Ok(Token::Number(number))
            }
            Ok(_) | Err(_) => Err(MofError {
                line: token_line,
                message: format!("{digits} is no integer of 64 bits"),
            }),
        }
    }

    fn take(&mut self) -> Result<Token, MofError> {
        let token = std::mem::replace(&mut self.token, Token::End);
        self.advance()?;
        Ok(token)
    }

    fn accept(&mut self, symbol: char) -> Result<bool, MofError> {
        if self.token == Token::Symbol(symbol) {
            self.advance()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn expect(&mut self, symbol: char) -> Result<(), MofError> {
        if self.accept(symbol)? {
            return Ok(());
        }
        self.error(format!("expected {symbol:?}"))
    }

    fn word(&mut self, what: &str) -> Result<String, MofError> {
        if !matches!(self.token, Token::Word(_)) {
            return self.error(format!("expected {what}"));
        }
        match self.take()? {
            Token::Word(word) => Ok(word),
            _ => self.error(format!("expected {what}")),
        }
    }

    fn is_word(&self, wanted: &str) -> bool {
        matches!(&self.token, Token::Word(word) if word.eq_ignore_ascii_case(wanted))
    }

    /// `#pragma namespace ("root/microsoft/bits")`; `\\.\` before it and
    /// backslashes in it mean the same.
    fn pragma(&mut self) -> Result<(), MofError> {
        self.expect('#')?;
        if !self.is_word("pragma") {
            return self.error("expected pragma");
        }
        self.advance()?;
        if !self.is_word("namespace") {
            return self.error("only the pragma namespace is known");
        }
        self.advance()?;
        self.expect('(')?;
        let Token::Text(path) = &self.token else {
            return self.error("expected the namespace as a text");
        };
        let path = path.replace('\\', "/");
        let path = path.strip_prefix("//./").unwrap_or(&path).trim_matches('/');
        // It becomes part of URIs as it stands.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        if path.is_empty() || !path.chars().all(is_plain) {
            return self.error("a namespace has letters, digits, `_`, `-`, `.` and `/`");
        }
        path.clone_into(&mut self.namespace);
        self.advance()?;
        self.expect(')')
    }

    fn class(&mut self) -> Result<Class, MofError> {
        let qualifiers = self.qualifiers()?;
        if !self.is_word("class") {
            return self.error("expected class");
        }
        self.advance()?;
        if self.namespace.is_empty() {
            return self.error("class without a namespace pragma before it");
        }
        let name = self.word("the name of the class")?;
        let mut derivation = Vec::new();
        if self.accept(':')? {
            derivation.push(self.word("the name of the superclass")?);
        }
        self.expect('{')?;
        let mut class = Class {
            name,
            namespace: self.namespace.clone(),
            derivation,
            qualifiers,
            properties: Vec::new(),
            methods: Vec::new(),
            order: Vec::new(),
        };
        while !self.accept('}')? {
            self.feature(&mut class)?;
        }
        self.expect(';')?;
        class.sort();
        Ok(class)
    }

    /// A property or a method.
    fn feature(&mut self, class: &mut Class) -> Result<(), MofError> {
        let line = self.token_line;
        let declared = self.declared()?;
        if class.property(&declared.name).is_some() || class.method(&declared.name).is_some() {
            return Err(MofError {
                line,
                message: format!("{} has two features called {}", class.name, declared.name),
            });
        }
        if self.token == Token::Symbol('(') && !declared.is_array {
            let method = self.method(declared, &class.name)?;
            class.methods.push(method);
            return Ok(());
        }
        if self.token == Token::Symbol('=') {
            return self.error("default values are not supported");
        }
        self.expect(';')?;
        let Declared {
            qualifiers,
            kind,
            name,
            is_array,
        } = declared;
        let origin = Origin {
            class: class.name.clone(),
            is_propagated: false,
        };
        class
            .properties
            .push(Property::new(name, kind, is_array, origin, qualifiers));
        Ok(())
    }

    fn method(&mut self, declared: Declared, class: &str) -> Result<Method, MofError> {
        self.expect('(')?;
        let mut method = Method {
            name: declared.name,
            is_static: is_set(&declared.qualifiers, "static"),
            returns: declared.kind,
            parameters: Vec::new(),
            origin: Origin {
                class: class.to_owned(),
                is_propagated: false,
            },
            qualifiers: declared.qualifiers,
        };
        if !self.accept(')')? {
            loop {
                let line = self.token_line;
                let Declared {
                    qualifiers,
                    kind,
                    name,
                    is_array,
                } = self.declared()?;
                if method.parameter(&name).is_some() {
                    return Err(MofError {
                        line,
                        message: format!("{} has two parameters called {name}", method.name),
                    });
                }
                let is_out = is_set(&qualifiers, "out");
                method.parameters.push(Parameter {
                    name,
                    kind,
                    is_array,
                    is_in: is_set(&qualifiers, "in") || !is_out,
                    is_out,
                    is_optional: is_set(&qualifiers, "optional"),
                    qualifiers,
                });
                if !self.accept(',')? {
                    break;
                }
            }
            self.expect(')')?;
        }
        self.expect(';')?;
        Ok(method)
    }

    fn declared(&mut self) -> Result<Declared, MofError> {
        let qualifiers = self.qualifiers()?;
        let line = self.token_line;
        let type_name = self.word("a type")?;
        let kind = kind(&type_name, &qualifiers).ok_or_else(|| MofError {
            line,
            message: format!("{type_name} is no type that is supported"),
        })?;
        let name = self.word("a name")?;
        let is_array = self.accept('[')?;
        if is_array {
            self.expect(']')?;
        }
        Ok(Declared {
            qualifiers,
            kind,
            name,
            is_array,
        })
    }

    fn qualifiers(&mut self) -> Result<Vec<Qualifier>, MofError> {
        let mut qualifiers: Vec<Qualifier> = Vec::new();
        if !self.accept('[')? {
            return Ok(qualifiers);
        }
        loop {
            let line = self.token_line;
            let qualifier = self.qualifier()?;
            if qualifiers
                .iter()
                .any(|other| other.name.eq_ignore_ascii_case(&qualifier.name))
            {
                return Err(MofError {
                    line,
                    message: format!("qualifier {} stands twice", qualifier.name),
                });
            }
            qualifiers.push(qualifier);
            if !self.accept(',')? {
                break;
            }
        }
        self.expect(']')?;
        Ok(qualifiers)
    }

    fn qualifier(&mut self) -> Result<Qualifier, MofError> {
        let name = self.word("a qualifier")?;
        let mut qualifier = Qualifier {
            name,
            values: Vec::new(),
            is_array: false,
            is_propagated: false,
        };
        if self.accept('(')? {
            let value = self.value()?;
            qualifier.values.push(value);
            self.expect(')')?;
        } else if self.accept('{')? {
            qualifier.is_array = true;
            loop {
                let value = self.value()?;
                qualifier.values.push(value);
                if !self.accept(',')? {
                    break;
                }
            }
            self.expect('}')?;
        } else {
            qualifier.values.push(Value::Boolean(true));
        }
        Ok(qualifier)
    }

    fn value(&mut self) -> Result<Value, MofError> {
        let value = match &mut self.token {
            Token::Text(text) => {
                let mut whole = std::mem::take(text);
                self.advance()?;
                // Texts that stand side by side are one text.
                while let Token::Text(more) = &self.token {
                    whole.push_str(more);
                    self.advance()?;
                }
                return Ok(Value::String(whole));
            }
            Token::Number(number) => match u64::try_from(*number) {
                Ok(number) => Value::Uint64(number),
                Err(_) => Value::Sint64(i64::try_from(*number).unwrap_or(i64::MIN)),
            },
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Value::Boolean(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Value::Boolean(false),
            Token::Word(_) | Token::Symbol(_) | Token::End => {
                return self.error("expected a value");
            }
        };
        self.advance()?;
        Ok(value)
    }
}

/// The type with this name; with the qualifier `EmbeddedInstance`, a string is
/// an instance of that class.
fn kind(name: &str, qualifiers: &[Qualifier]) -> Option<Type> {
    if name.eq_ignore_ascii_case("string") {
        let embedded = qualifiers
            .iter()
            .find(|qualifier| qualifier.name.eq_ignore_ascii_case("EmbeddedInstance"));
        return match embedded.map(|qualifier| qualifier.values.as_slice()) {
            None => Some(Type::String),
            Some([Value::String(class)]) => Some(Type::Instance(class.clone())),
            Some(_) => None,
        };
    }
    let (_, kind) = TYPES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(kind.clone())
}

const TYPES: [(&str, Type); 9] = [
    ("boolean", Type::Boolean),
    ("uint8", Type::Uint8),
    ("uint16", Type::Uint16),
    ("uint32", Type::Uint32),
    ("uint64", Type::Uint64),
    ("sint8", Type::Sint8),
    ("sint16", Type::Sint16),
    ("sint32", Type::Sint32),
    ("sint64", Type::Sint64),
];

/// Far above any schema that a person wrote.
const MAX_OCTETS: usize = 1_048_576;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "#pragma namespace (\"\\\\\\\\.\\\\root\\\\x\")\n";

    fn one(text: &str) -> Result<Class, MofError> {
        parse(&format!("{HEAD}{text}")).map(|mut classes| classes.remove(0))
    }

    #[test]
    fn qualifiers_decide_what_a_property_is() {
        let class = one(
            "class C { [KEY, read] string Name; [write(TRUE), Bulk] uint32 N[]; \
             [write(false)] sint64 M; [EmbeddedInstance(\"D\")] string E; };",
        )
        .expect("correct MOF");
        assert_eq!(class.namespace, "root/x");
        assert!(class.properties[0].is_key);
        assert!(class.properties[1].is_writable && class.properties[1].is_bulk);
        assert!(class.properties[1].is_array);
        assert!(!class.properties[2].is_writable);
        assert_eq!(class.properties[3].kind, Type::Instance("D".to_owned()));
        assert_eq!(class.order, [3, 2, 1, 0]);
    }

    #[test]
    fn texts_side_by_side_are_one_and_arrays_keep_their_order() {
        let class = one("[Description(\"a\" /* c */\n\"b\"), Values{\"x\", 0x10, -1}] class C {};")
            .expect("correct MOF");
        assert_eq!(class.qualifiers[0].values, [Value::from("ab")]);
        assert_eq!(
            class.qualifiers[1].values,
            [Value::from("x"), Value::Uint64(16), Value::Sint64(-1)]
        );
    }

    #[test]
    fn a_parameter_without_direction_goes_in() {
        let class = one("class C { uint32 M(string A, [out] uint8 B[]); };").expect("correct MOF");
        let method = class.method("m").expect("there in any case");
        assert!(method.parameters[0].is_in && !method.parameters[0].is_out);
        assert!(!method.parameters[1].is_in && method.parameters[1].is_array);
    }

    #[test]
    fn a_superclass_is_kept_by_name() {
        let class = one("class C : D { uint8 N; };").expect("correct MOF");
        assert_eq!(class.derivation, ["D"]);
        assert_eq!(class.properties[0].origin.class, "C");
    }

    #[test]
    fn an_error_names_its_line() {
        for (text, line, word) in [
            ("class C {\n uint99 X; };", 3, "uint99"),
            ("class C : {};", 2, "superclass"),
            ("class C { string A; string a; };", 2, "two features"),
            ("class C {\n string A = \"x\"; };", 3, "default"),
            ("[Description(\"x\n\")] class C {};", 2, "without end"),
            ("/* class", 2, "comment"),
            ("class C { uint8 N; }", 2, "';'"),
            ("[Max(99999999999999999999)] class C {};", 2, "64 bits"),
        ] {
            let error = one(text).expect_err(text);
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.message.contains(word), "{text}: {error}");
        }
        assert!(parse("class C {};").is_err(), "no namespace");
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn arbitrary_tokens_are_read_or_refused(
            tokens in proptest::collection::vec(
                prop::sample::select(vec![
                    "class", "string", "uint8", "X", "Y", "[", "]", "(", ")", "{", "}", ";", ",",
                    ":", "=", "\"t\"", "12", "-", "#", "pragma", "namespace", "true", "\n", "/*",
                ]),
                0..60,
            )
        ) {
            let _ = parse(&format!("{HEAD}{}", tokens.join(" ")));
        }
    }
}
