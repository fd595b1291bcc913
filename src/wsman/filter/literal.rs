//! Constants become literals of a property's type.

use crate::cim::Comparison;
use crate::cim::Literal;
use crate::cim::Type;

use super::Names;
use super::expression::Constant;
use super::number::Number;

/// What a comparison with a constant comes down to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    /// It holds for no value.
    Never,
    /// It holds for every value, but not for null.
    NotNull,
    /// It depends on the value.
    Compare(Comparison, Literal),
}

/// Compares values of `kind` with `constant`; none where that has no meaning.
///
/// As WMI does, a text that reads as a number or a truth value is taken for
/// one, and a number for a text where texts are compared. `XPath` has no order
/// of texts, and tells the number 1 from the text of one.
pub(super) fn test(
    kind: &Type,
    operator: Comparison,
    constant: &Constant,
    names: Names,
) -> Option<Test> {
    match kind {
        Type::Boolean => Some(Test::Compare(operator, boolean(constant, names)?)),
        Type::String => {
            let is_equality = matches!(operator, Comparison::Equal | Comparison::NotEqual);
            let literal = match (constant, names) {
                (Constant::Text(text) | Constant::Number { text, .. }, Names::InAnyCase) => {
                    Literal::String(text.clone())
                }
                (Constant::Text(text), Names::ByCase) if is_equality => {
                    Literal::Exact(text.clone())
                }
                _ => return None,
            };
            Some(Test::Compare(operator, literal))
        }
        Type::Uint8 => of_range(operator, constant, 0, u8::MAX),
        Type::Uint16 => of_range(operator, constant, 0, u16::MAX),
        Type::Uint32 => of_range(operator, constant, 0, u32::MAX),
        Type::Uint64 => of_range(operator, constant, 0, u64::MAX),
        Type::Sint8 => of_range(operator, constant, i8::MIN, i8::MAX),
        Type::Sint16 => of_range(operator, constant, i16::MIN, i16::MAX),
        Type::Sint32 => of_range(operator, constant, i32::MIN, i32::MAX),
        Type::Sint64 => of_range(operator, constant, i64::MIN, i64::MAX),
        Type::Instance(_) => None,
    }
}

fn boolean(constant: &Constant, names: Names) -> Option<Literal> {
    let boolean = match (constant, names) {
        (Constant::Boolean(boolean), _) => *boolean,
        (Constant::Number { number, .. }, Names::InAnyCase) if number.is_whole => {
            match number.floor {
                0 => false,
                // The VARIANT_TRUE of scripts is -1.
                1 | -1 => true,
                _ => return None,
            }
        }
        (Constant::Text(text), Names::InAnyCase) => {
            match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" | "-1" => true,
                "false" | "0" => false,
                _ => return None,
            }
        }
        (Constant::Text(text), Names::ByCase) => text.parse().ok()?,
        (Constant::Number { .. }, _) => return None,
    };
    Some(Literal::Boolean(boolean))
}

/// Values are from `least` to `most`: constants between two integers or beyond
/// these need not be compared with.
fn of_range(
    operator: Comparison,
    constant: &Constant,
    least: impl Into<i128>,
    most: impl Into<i128>,
) -> Option<Test> {
    use Comparison::Equal;
    use Comparison::Greater;
    use Comparison::GreaterOrEqual;
    use Comparison::Less;
    use Comparison::LessOrEqual;
    use Comparison::NotEqual;
    let (least, most) = (least.into(), most.into());
    let number = match constant {
        Constant::Number { number, .. } => *number,
        Constant::Text(text) => Number::parse(text.trim())?,
        Constant::Boolean(_) => return None,
    };
    let (operator, literal) = match operator {
        _ if number.is_whole => (operator, number.floor),
        Equal => return Some(Test::Never),
        NotEqual => return Some(Test::NotNull),
        Less | LessOrEqual => (LessOrEqual, number.floor),
        Greater | GreaterOrEqual => (Greater, number.floor),
    };
    let holds_below = matches!(operator, Greater | GreaterOrEqual | NotEqual);
    let holds_above = matches!(operator, Less | LessOrEqual | NotEqual);
    let everywhere = |holds| if holds { Test::NotNull } else { Test::Never };
    Some(match operator {
        _ if literal < least => everywhere(holds_below),
        _ if literal > most => everywhere(holds_above),
        Less if literal == least => Test::Never,
        GreaterOrEqual if literal == least => Test::NotNull,
        Greater if literal == most => Test::Never,
        LessOrEqual if literal == most => Test::NotNull,
        _ => Test::Compare(operator, Literal::Integer(literal)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cim::Value;

    fn number(text: &str) -> Constant {
        Constant::Number {
            text: text.to_owned(),
            number: Number::parse(text).expect("a number"),
        }
    }

    fn text(text: &str) -> Constant {
        Constant::Text(text.to_owned())
    }

    fn wql(kind: &Type, operator: Comparison, constant: &Constant) -> Option<Test> {
        test(kind, operator, constant, Names::InAnyCase)
    }

    fn xpath(kind: &Type, operator: Comparison, constant: &Constant) -> Option<Test> {
        test(kind, operator, constant, Names::ByCase)
    }

    fn equal(literal: Literal) -> Test {
        Test::Compare(Comparison::Equal, literal)
    }

    #[test]
    fn numbers_may_stand_in_quotation_marks() {
        for constant in [
            number("4"),
            text("4"),
            text(" 4 "),
            number("4.0"),
            text("0x4"),
        ] {
            assert_eq!(
                wql(&Type::Uint16, Comparison::Equal, &constant),
                Some(equal(Literal::Integer(4))),
                "{constant:?}"
            );
        }
        for constant in [text("four"), text(""), Constant::Boolean(true)] {
            assert_eq!(wql(&Type::Uint16, Comparison::Equal, &constant), None);
        }
    }

    #[test]
    fn a_truth_value_may_be_a_number_or_a_text() {
        for (constant, wanted) in [
            (Constant::Boolean(true), Some(true)),
            (number("1"), Some(true)),
            (number("-1"), Some(true)),
            (number("0"), Some(false)),
            (number("0.5"), None),
            (number("2"), None),
            (text("True"), Some(true)),
            (text("FALSE"), Some(false)),
            (text("0"), Some(false)),
            (text("yes"), None),
        ] {
            assert_eq!(
                wql(&Type::Boolean, Comparison::Equal, &constant),
                wanted.map(|wanted| equal(Literal::Boolean(wanted))),
                "{constant:?}"
            );
        }
        assert_eq!(
            xpath(&Type::Boolean, Comparison::Equal, &text("true")),
            Some(equal(Literal::Boolean(true)))
        );
        for constant in [text("TRUE"), text("1"), number("1")] {
            assert_eq!(xpath(&Type::Boolean, Comparison::Equal, &constant), None);
        }
    }

    #[test]
    fn a_number_is_a_text_where_texts_are_compared() {
        assert_eq!(
            wql(&Type::String, Comparison::Equal, &number("007")),
            Some(equal(Literal::String("007".to_owned())))
        );
        let boolean = Constant::Boolean(true);
        assert_eq!(wql(&Type::String, Comparison::Equal, &boolean), None);
        assert_eq!(xpath(&Type::String, Comparison::Equal, &number("7")), None);
    }

    #[test]
    fn texts_of_xpath_have_case_and_no_order() {
        assert_eq!(
            xpath(&Type::String, Comparison::Equal, &text("a")),
            Some(equal(Literal::Exact("a".to_owned())))
        );
        assert_eq!(xpath(&Type::String, Comparison::Less, &text("a")), None);
    }

    #[test]
    fn a_number_out_of_range_needs_no_comparison() {
        use Test::Never;
        use Test::NotNull;
        let found = |constant: &str| {
            Comparison::ALL.map(|o| wql(&Type::Uint8, o, &number(constant)).expect("a test"))
        };
        let above = [Never, NotNull, NotNull, NotNull, Never, Never];
        let below = [Never, NotNull, Never, Never, NotNull, NotNull];
        assert_eq!(found("256"), above);
        assert_eq!(found("1e400"), above);
        assert_eq!(found("255.5"), above);
        assert_eq!(found("-1"), below);
        assert_eq!(found("-0.5"), below);
        let [.., less, less_or_equal, greater, greater_or_equal] = found("0");
        assert_eq!((less, greater_or_equal), (Never, NotNull));
        assert!(matches!(less_or_equal, Test::Compare(..)));
        assert!(matches!(greater, Test::Compare(..)));
        let [.., less, less_or_equal, greater, greater_or_equal] = found("255");
        assert_eq!((less_or_equal, greater), (NotNull, Never));
        assert!(matches!(less, Test::Compare(..)));
        assert!(matches!(greater_or_equal, Test::Compare(..)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_test_holds_for_the_values_for_which_the_comparison_does(
            value in any::<i8>(),
            quarters in -600..600_i32,
            operator in prop::sample::select(Comparison::ALL.to_vec()),
        ) {
            let constant = number(&(f64::from(quarters) / 4.0).to_string());
            let order = (i32::from(value) * 4).cmp(&quarters);
            let holds = match wql(&Type::Sint8, operator, &constant).expect("a test") {
                Test::Never => false,
                Test::NotNull => true,
                Test::Compare(operator, literal) => {
                    operator.holds(literal.order(&Value::Sint8(value)).expect("numbers compare"))
                }
            };
            prop_assert_eq!(holds, operator.holds(order));
        }
    }
}
