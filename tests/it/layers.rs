//! Holds the order of the modules, and that the parts that decide neither do
//! I/O nor read a clock: modules of one package drift into cycles without it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Which modules each may use; foundations first. A module uses only those
/// above its own line, too: that is checked as well.
const MODULES: &[(&str, &[&str])] = &[
    ("xml", &[]),
    ("bits", &[]),
    ("config", &[]),
    ("telemetry", &["config"]),
    ("trust", &[]),
    ("vault", &[]),
    ("cim", &["xml"]),
    ("soap", &["xml"]),
    ("document", &["xml"]),
    ("mechanism", &[]),
    (
        "auth",
        &["config", "mechanism", "telemetry", "trust", "vault"],
    ),
    ("transfer", &["bits", "config", "mechanism", "trust"]),
    ("store", &["bits", "config", "vault"]),
    (
        "engine",
        &["bits", "transfer", "store", "config", "telemetry"],
    ),
    (
        "hosting",
        &["bits", "transfer", "store", "config", "telemetry"],
    ),
    ("net", &["auth", "config", "telemetry"]),
    (
        "provider",
        &[
            "cim", "document", "engine", "hosting", "store", "auth", "bits", "config",
        ],
    ),
    (
        "wsman",
        &[
            "xml",
            "soap",
            "cim",
            "document",
            "provider",
            "store",
            "transfer",
            "auth",
            "config",
            // The error codes in faults.
            "bits",
            "telemetry",
        ],
    ),
    (
        "http",
        &[
            "wsman",
            "hosting",
            "transfer",
            "auth",
            "net",
            "config",
            "telemetry",
        ],
    ),
    (
        "client",
        &["xml", "soap", "cim", "bits", "auth", "config", "trust"],
    ),
    (
        "cli",
        &["client", "xml", "soap", "cim", "bits", "auth", "config"],
    ),
];

/// Files that put the others together, and may name them all.
const ABOVE_ALL: &[&str] = &["lib", "main", "app", "fuzzing"];

/// Modules, folders and files that only decide. One that is not there yet is
/// held from its first line on.
const DECIDING: &[&str] = &[
    "xml",
    "bits",
    "cim",
    "soap",
    "document",
    "auth/credssp/ts_request",
    "auth/kerberos/keytab",
    "auth/kerberos/ticket",
    "auth/lockout",
    "auth/sealed",
    "engine/pace",
    "engine/routes",
    "mechanism/binding",
    "mechanism/context",
    "mechanism/initiate",
    "mechanism/ntlm",
    "mechanism/spnego",
    "engine/scheduler",
    "hosting/refused",
    "hosting/rules",
    "hosting/target",
    "transfer/challenge",
    "transfer/custom",
    "transfer/digest",
    "transfer/held",
    "transfer/pieces",
    "transfer/quota",
    "transfer/lanes",
    "transfer/memory",
    "transfer/range",
    "transfer/proxy",
    "transfer/terms",
    "transfer/throttle",
    "transfer/upload_packet",
    "transfer/validator",
    "transfer/verdict",
    "trust",
    "transfer/window",
    "wsman/fault",
    "wsman/filter",
];

/// Runtime, clock, file system, network. A time as a value is none of them.
const EFFECTS: &[&str] = &[
    "tokio",
    "std::fs",
    "fs::File",
    "cap_std",
    "rustix",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
];

#[test]
fn a_module_uses_only_those_that_are_its_foundations() {
    let order: BTreeMap<&str, usize> = MODULES
        .iter()
        .enumerate()
        .map(|(at, (module, _))| (*module, at))
        .collect();
    for (at, (module, uses)) in MODULES.iter().enumerate() {
        for used in *uses {
            assert!(order[used] < at, "{module} stands above {used}");
        }
    }
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = module_of(&path);
        if ABOVE_ALL.contains(&module.as_str()) {
            continue;
        }
        let Some(&at) = order.get(module.as_str()) else {
            wrong.push(format!("{}: module without a place", path.display()));
            continue;
        };
        let (_, allowed) = MODULES[at];
        let rules = rules_of(&path, &text).lines().count();
        for (number, line) in (1..).zip(text.lines()) {
            for used in crate_paths(line) {
                let is_module = order.contains_key(used) || ABOVE_ALL.contains(&used);
                // A test may build what it needs of any foundation.
                let is_foundation = order.get(used).is_some_and(|place| *place < at);
                let is_allowed = allowed.contains(&used) || (number > rules && is_foundation);
                if is_module && used != module && !is_allowed {
                    wrong.push(format!("{}:{number}: uses {used}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_decides_names_no_runtime_clock_or_file_system() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let place = path.with_extension("");
        let decides = DECIDING.iter().any(|part| place.starts_with(part));
        if !decides {
            continue;
        }
        for (number, line) in (1..).zip(rules_of(&path, &text).lines()) {
            let code = without_comment(line);
            for effect in EFFECTS.iter().filter(|effect| code.contains(**effect)) {
                wrong.push(format!("{}:{number}: {effect}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn paths_are_found_in_code_and_not_in_comments() {
    assert_eq!(crate_paths("use crate::bits::Job;"), ["bits"]);
    assert_eq!(
        crate_paths("fn f(a: crate::xml::A, b: &$crate::cim::B) {}"),
        ["xml", "cim"]
    );
    assert!(crate_paths("/// [`crate::engine`] does it").is_empty());
    assert!(crate_paths("mycrate::engine::x()").is_empty());
}

/// The part of a file that is no test: those stand at its end, or in a file
/// of their own.
fn rules_of<'a>(path: &Path, text: &'a str) -> &'a str {
    if path.file_stem().is_some_and(|stem| stem == "tests") {
        return "";
    }
    text.split("#[cfg(test)]\nmod tests")
        .next()
        .unwrap_or_default()
}

/// Every Rust file below `src/`: its path from there, and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("text");
                let from_root = path.strip_prefix(&root).expect("below it").to_owned();
                found.push((from_root, text));
            }
        }
    }
    assert!(found.len() > 10, "src/ was not read");
    found.sort();
    found
}

/// The first part of a path, without its extension.
fn module_of(path: &Path) -> String {
    let first = path.iter().next().expect("a file has a name");
    Path::new(first)
        .with_extension("")
        .to_string_lossy()
        .into_owned()
}

/// The modules that a line names from the root of the crate.
fn crate_paths(line: &str) -> Vec<&str> {
    let code = without_comment(line);
    code.match_indices("crate::")
        .filter(|(at, _)| {
            let before = code[..*at].chars().next_back();
            !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
        })
        .map(|(at, found)| {
            let rest = &code[at + found.len()..];
            let end = rest
                .find(|end: char| !end.is_alphanumeric() && end != '_')
                .unwrap_or(rest.len());
            &rest[..end]
        })
        .collect()
}

/// A line up to its comment. An address in a text is cut as well, which hides
/// nothing that counts here.
fn without_comment(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}
