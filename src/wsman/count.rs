//! What of requests is counted.

use crate::telemetry::counters::Counter;
use crate::telemetry::counters::Limit;
use crate::telemetry::counters::Operation;

use super::dispatch::ENUMERATION;
use super::dispatch::TRANSFER;
use super::error::Error;

/// Counts a request by its action.
pub(super) fn request(action: &str) {
    Counter::Request(operation(action)).bump();
}

/// Counts a refusal, if it is a limit's.
pub(super) fn refusal(error: &Error) {
    let limit = match error {
        Error::TooManyOperations => Limit::OperationsPerUser,
        Error::TooManyEnumerations | Error::NoRoomForEnumerations => Limit::Enumerations,
        Error::AnswerTooLarge | Error::Unreportable => Limit::AnswerSize,
        _ => return,
    };
    Counter::Refused(limit).bump();
}

fn operation(action: &str) -> Operation {
    if let Some(operation) = action.strip_prefix(TRANSFER) {
        return match operation {
            "Get" => Operation::Get,
            "Put" => Operation::Put,
            "Create" => Operation::Create,
            "Delete" => Operation::Delete,
            _ => Operation::Invoke,
        };
    }
    match action.strip_prefix(ENUMERATION) {
        Some("Enumerate") => Operation::Enumerate,
        Some("Pull") => Operation::Pull,
        Some("Release") => Operation::Release,
        Some("Renew") => Operation::Renew,
        Some("GetStatus") => Operation::GetStatus,
        Some(_) | None => Operation::Invoke,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_told_by_the_whole_action() {
        for (action, expected) in [
            (format!("{TRANSFER}Get"), Operation::Get),
            (format!("{TRANSFER}Gets"), Operation::Invoke),
            (format!("{ENUMERATION}Pull"), Operation::Pull),
            (format!("{ENUMERATION}Get"), Operation::Invoke),
            ("http://x/BitsClientJob/Get".to_owned(), Operation::Invoke),
            (String::new(), Operation::Invoke),
        ] {
            assert_eq!(operation(&action), expected, "{action}");
        }
    }

    #[test]
    fn what_a_limit_refuses_is_counted() {
        for (error, limit) in [
            (Error::TooManyOperations, Limit::OperationsPerUser),
            (Error::TooManyEnumerations, Limit::Enumerations),
            (Error::AnswerTooLarge, Limit::AnswerSize),
        ] {
            let before = Counter::Refused(limit).count();
            refusal(&error);
            assert!(Counter::Refused(limit).count() > before, "{error}");
        }
    }
}
