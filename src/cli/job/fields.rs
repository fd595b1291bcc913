//! Properties as JSON and as words.

use std::time::SystemTime;

use serde_json::Map;
use serde_json::Value;

use crate::bits::Timestamp;
use crate::cli::bits_client_job::UNKNOWN;
use crate::client::Item;

/// An instance as JSON, under the names of its properties.
pub(super) fn json(item: &Item) -> Value {
    let mut object = Map::new();
    for property in &item.children {
        let value = value(property);
        // These are arrays, however many there are.
        if ARRAYS.contains(&property.name.as_str()) {
            let files = object
                .entry(property.name.clone())
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(files) = files
                && !value.is_null()
            {
                files.push(value);
            }
            continue;
        }
        object.insert(property.name.clone(), value);
    }
    // A list that was left out is not an empty one; these are never left out.
    if item.all("Files").any(|f| f.text.is_none()) {
        object.insert("Files".to_owned(), Value::Null);
    }
    Value::Object(object)
}

fn value(property: &Item) -> Value {
    if !property.children.is_empty() {
        return json(property);
    }
    let Some(text) = property.text.as_deref() else {
        return Value::Null;
    };
    let number = NUMBERS.contains(&property.name.as_str());
    match text.trim().parse::<u64>() {
        Ok(value) if number => value.into(),
        _ if BOOLEANS.contains(&property.name.as_str()) => {
            matches!(text.trim(), "1" | "true" | "TRUE" | "True").into()
        }
        _ => text.into(),
    }
}

/// A number of octets, `UNKNOWN` where it is.
pub(super) fn octets(item: &Item, name: &str) -> String {
    match item.number::<u64>(name) {
        None | Some(UNKNOWN) => "UNKNOWN".to_owned(),
        Some(octets) => octets.to_string(),
    }
}

/// A time in UTC, as RFC 3339 writes it; `UNKNOWN` when there is none.
pub(super) fn time(item: &Item, name: &str) -> String {
    match item.number::<u64>(name) {
        None | Some(0) => "UNKNOWN".to_owned(),
        Some(ticks) => utc(Timestamp::from_ticks(ticks)),
    }
}

fn utc(at: Timestamp) -> String {
    let since = SystemTime::from(at)
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second) = (since / 86_400, since % 86_400);
    // Gregorian calendar from a count of days, in years that begin in March
    // (H. Hinnant, "chrono-compatible low-level date algorithms").
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z",
        year + era * 400 + carry,
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

/// Properties that have several values.
const ARRAYS: [&str; 3] = ["Files", "Labels", "ServerThumbprints"];

/// Properties that are true or false.
const BOOLEANS: [&str; 4] = [
    "Completed",
    "DynamicContent",
    "HeadersWriteOnly",
    "RequireRanges",
];

/// The properties of every class, and the outputs of `GetError`, that are
/// numbers.
const NUMBERS: [&str; 32] = [
    "Type",
    "Index",
    "SecurityFlags",
    "MaximumDownloadTime",
    "MaxDownloadSize",
    "ReplyBytesTotal",
    "ReplyBytesTransferred",
    "StartAfter",
    "ProxyUsage",
    "ErrorHttpStatus",
    "ErrorFileIndex",
    "QueuePosition",
    "QueueAccounts",
    "RetryAt",
    "ServerRetryAt",
    "EndsAt",
    "BytesPerSecond",
    "Priority",
    "MinimumRetryDelay",
    "NoProgressTimeout",
    "JobCreationTime",
    "JobLastModificationTime",
    "JobCompletionTime",
    "BytesTotal",
    "BytesTransferred",
    "FilesTotal",
    "FilesTransferred",
    "TransientErrorCount",
    "State",
    "ErrorContext",
    "ErrorCode",
    "ReturnValue",
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn leaf(name: &str, text: Option<&str>) -> Item {
        Item {
            name: name.to_owned(),
            text: text.map(str::to_owned),
            children: Vec::new(),
        }
    }

    #[test]
    fn an_instance_becomes_json_under_its_own_names() {
        let file = Item {
            name: "Files".to_owned(),
            text: Some(String::new()),
            children: vec![
                leaf("RemoteUrl", Some("u")),
                leaf("BytesTotal", Some("18446744073709551615")),
                leaf("Completed", Some("false")),
            ],
        };
        let job = Item {
            children: vec![
                leaf("DisplayName", Some("7")),
                leaf("State", Some("6")),
                leaf("Description", None),
                file,
            ],
            ..Item::default()
        };
        let expected = serde_json::json!({
            "DisplayName": "7", "State": 6, "Description": null,
            "Files": [{"RemoteUrl": "u", "BytesTotal": u64::MAX, "Completed": false}],
        });
        assert_eq!(json(&job), expected);
        let big = Item {
            children: vec![leaf("Files", None)],
            ..Item::default()
        };
        assert_eq!(json(&big), serde_json::json!({"Files": null}));
    }

    #[test]
    fn times_are_told_in_utc() {
        let at = |s| {
            utc(Timestamp::from(
                SystemTime::UNIX_EPOCH + Duration::from_secs(s),
            ))
        };
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_826_399), "2000-02-29T12:13:19Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }
}
