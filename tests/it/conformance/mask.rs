//! Takes out of an answer what differs from run to run: each such text becomes
//! a name in braces, and the rest is compared as it is.

use std::collections::BTreeMap;

use super::document::Element;

/// The answer `text`, taken apart as `root`, without what differs. `values`
/// are what this story calls by name, `sent` is the request.
pub(super) fn mask(
    text: &str,
    root: &Element,
    values: &BTreeMap<String, String>,
    sent: &str,
) -> String {
    let mut masked = by_element(text, root, values);
    // Those that hold another one first.
    let mut named: Vec<_> = values
        .iter()
        .filter(|(name, value)| value.len() >= LEAST && !LOCAL.contains(&name.as_str()))
        .collect();
    named.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    for (name, value) in named {
        let name = ["{", name, "}"].concat();
        masked = masked.replace(value, &name).replace(&escaped(value), &name);
    }
    guids(&masked, sent)
}

/// By what the elements are.
fn by_element(text: &str, root: &Element, values: &BTreeMap<String, String>) -> String {
    let mut changes = Vec::new();
    for element in root.all() {
        let inner = &text[element.inner.clone()];
        let is_number = !inner.is_empty() && inner.bytes().all(|c| c.is_ascii_digit());
        let is = |name: &str| values.get(name).is_some_and(|value| inner == value);
        let name = match element.local.as_str() {
            "MessageID" if is_new_id(inner) => "uuid:{AnswerID}".to_owned(),
            "JobCreationTime" | "JobLastModificationTime" | "JobCompletionTime"
                if is_number && inner != "0" =>
            {
                "{Time}".to_owned()
            }
            "CertificateThumbprint"
                if inner.len() == 40 && inner.bytes().all(|c| c.is_ascii_hexdigit()) =>
            {
                "{Thumbprint}".to_owned()
            }
            "ProductVersion" if !inner.starts_with("OS: 0.0.0 ") => inner
                .strip_prefix("OS: ")
                .and_then(|rest| rest.split_once(' '))
                .map_or(inner.to_owned(), |(_, rest)| {
                    format!("OS: {{System}} {rest}")
                }),
            // What is left of it.
            "Expires" if inner.starts_with("PT") && inner.contains('.') => "{Remaining}".to_owned(),
            "Owner" if is("Account") => "{Account}".to_owned(),
            "Port" | "HTTPS" if is("Port") => "{Port}".to_owned(),
            _ => inner.to_owned(),
        };
        if name != inner {
            changes.push((element.inner.clone(), name));
        }
        if let Some(machine) = element.attribute("Machine") {
            let tag = element.outer.start..element.inner.start;
            let wanted = format!("Machine=\"{machine}\"");
            if let Some(at) = text[tag.clone()].find(&wanted) {
                let start = tag.start + at;
                changes.push((
                    start..start + wanted.len(),
                    "Machine=\"{Machine}\"".to_owned(),
                ));
            }
        }
    }
    changes.sort_by_key(|(range, _)| range.start);
    let (mut masked, mut at) = (String::with_capacity(text.len()), 0);
    for (range, name) in changes {
        masked.push_str(&text[at..range.start]);
        masked.push_str(&name);
        at = range.end;
    }
    masked.push_str(&text[at..]);
    masked
}

/// `uuid:` and a GUID in capitals, as Windows makes them.
fn is_new_id(text: &str) -> bool {
    text.strip_prefix("uuid:")
        .is_some_and(|guid| guid.len() == GUID && is_guid(guid) && guid == guid.to_uppercase())
}

/// Every GUID that is left and was not in the request.
fn guids(text: &str, sent: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(guid) = rest.get(..GUID).filter(|guid| is_guid(guid)) {
            let is_known = sent.contains(guid);
            masked.push_str(if is_known { guid } else { "{GUID}" });
            rest = &rest[GUID..];
        } else {
            masked.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    masked
}

fn is_guid(text: &str) -> bool {
    text.bytes().enumerate().all(|(at, octet)| match at {
        8 | 13 | 18 | 23 => octet == b'-',
        _ => octet.is_ascii_hexdigit(),
    })
}

/// As text between tags.
fn escaped(text: &str) -> String {
    quick_xml::escape::minimal_escape(text).into_owned()
}

const GUID: usize = 36;

/// A shorter value may stand in an answer by chance.
const LEAST: usize = 8;

/// Values that are masked only as the whole text of an element.
const LOCAL: [&str; 2] = ["Account", "Port"];

#[test]
fn what_differs_is_masked_and_what_was_sent_is_not() {
    let guid = "0A1B2C3D-0A1B-0A1B-0A1B-0A1B2C3D4E5F";
    let text = format!(
        "<e><MessageID>uuid:{guid}</MessageID><RelatesTo>uuid:{guid}</RelatesTo>\
         <Owner>anna</Owner><a>anna</a><f Code=\"1\" Machine=\"h\"/><JobCreationTime>0\
         </JobCreationTime><JobCompletionTime>12</JobCompletionTime><b>/srv/x&amp;y</b></e>"
    );
    let values = BTreeMap::from([
        ("Account".to_owned(), "anna".to_owned()),
        ("Files".to_owned(), "/srv/x&y".to_owned()),
    ]);
    let root = super::document::read(&text).expect("well-formed");
    let masked = |sent: &str| mask(&text, &root, &values, sent);
    let wanted = |id: &str| {
        format!(
            "<e><MessageID>uuid:{{AnswerID}}</MessageID><RelatesTo>uuid:{id}</RelatesTo>\
             <Owner>{{Account}}</Owner><a>anna</a><f Code=\"1\" Machine=\"{{Machine}}\"/>\
             <JobCreationTime>0</JobCreationTime><JobCompletionTime>{{Time}}\
             </JobCompletionTime><b>{{Files}}</b></e>"
        )
    };
    assert_eq!(masked(""), wanted("{GUID}"));
    assert_eq!(masked(&format!("<x>{guid}</x>")), wanted(guid));
}
