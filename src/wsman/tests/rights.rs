//! Every operation by everybody who may do some of it.

use crate::config::Right;

use super::config::Machine;
use super::*;

const ALL: [Right; 3] = [Right::Read, Right::Write, Right::Invoke];

const CONFIG: &str = "http://schemas.microsoft.com/wbem/wsman/1/config";
const CLASSES: &str = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*";
const SHELL: &str = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd";

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Needs {
    Nothing,
    Any,
    One(Right),
}

/// All sets of rights.
fn sets() -> impl Iterator<Item = Vec<Right>> {
    (0..8_u8).map(|bits| {
        let places = (0..3).filter(|place| bits & (1 << place) != 0);
        places.map(|place| ALL[place]).collect()
    })
}

fn transfer(operation: &str, uri: &str, all: &[(&str, &str)], body: &str) -> String {
    let action = format!("{TRANSFER}/{operation}");
    request(&action, uri, &selectors(all), body)
}

fn enumeration(operation: &str, uri: &str, inner: &str) -> String {
    let action = format!("{ENUMERATION}/{operation}");
    let body = format!("<n:{operation}>{inner}</n:{operation}>");
    request(&action, uri, "", &body)
}

fn method(name: &str, input: &str) -> String {
    let body = format!("<p:{name}_INPUT xmlns:p=\"{WMI}\">{input}</p:{name}_INPUT>");
    request(
        &format!("{WMI}/{name}"),
        WMI,
        &selectors(&[("JobId", ID)]),
        &body,
    )
}

fn job(inner: &str) -> String {
    format!("<p:BitsClientJob xmlns:p=\"{WMI}\">{inner}</p:BitsClientJob>")
}

/// Operations that need no open enumeration: name, envelope, what it needs.
fn operations() -> Vec<(&'static str, String, Needs)> {
    let (read, write, invoke) = (
        Needs::One(Right::Read),
        Needs::One(Right::Write),
        Needs::One(Right::Invoke),
    );
    let identify = format!(
        "<s:Envelope xmlns:s=\"{}\"><s:Header/><s:Body><i:Identify xmlns:i=\"{}\"/></s:Body></s:Envelope>",
        ns::SOAP,
        ns::WSMID,
    );
    let key = [("JobId", ID)];
    let name = "<p:DisplayName>x</p:DisplayName>";
    let class = [("ClassName", "BitsClientJob")];
    vec![
        ("Identify", identify, Needs::Nothing),
        ("Get", transfer("Get", WMI, &key, ""), read),
        ("Get by DMTF URI", transfer("Get", DMTF, &key, ""), read),
        ("Put", transfer("Put", WMI, &key, &job(name)), write),
        ("Create", transfer("Create", WMI, &[], &job(name)), write),
        ("Delete", transfer("Delete", WMI, &key, ""), write),
        ("Enumerate", enumeration("Enumerate", WMI, ""), read),
        ("Subscribe", enumeration("Subscribe", WMI, ""), read),
        (
            "SetJobState",
            method("SetJobState", "<p:JobState>2</p:JobState>"),
            invoke,
        ),
        (
            "GetError",
            method("GetError", "<p:LanguageId>0</p:LanguageId>"),
            invoke,
        ),
        ("CreateJob", method("CreateJob", ""), invoke),
        ("a method that nobody knows", method("Nothing", ""), invoke),
        ("another operation", transfer("Copy", WMI, &key, ""), invoke),
        (
            "an action of nobody",
            request("urn:x/y", WMI, "", ""),
            invoke,
        ),
        (
            "Get of a class",
            transfer("Get", CLASSES, &class, ""),
            Needs::Any,
        ),
        (
            "Enumerate of classes",
            enumeration("Enumerate", CLASSES, ""),
            Needs::Any,
        ),
        (
            "Get of the configuration",
            transfer("Get", CONFIG, &[], ""),
            read,
        ),
        (
            "Enumerate of listeners",
            enumeration("Enumerate", &format!("{CONFIG}/listener"), ""),
            read,
        ),
        (
            "Put of the configuration",
            transfer("Put", CONFIG, &[], "<x/>"),
            write,
        ),
        (
            "Create of a listener",
            transfer("Create", CONFIG, &[], "<x/>"),
            write,
        ),
        (
            "Delete of a listener",
            transfer("Delete", CONFIG, &[], ""),
            write,
        ),
        (
            "Restore",
            request(&format!("{CONFIG}/Restore"), CONFIG, "", ""),
            invoke,
        ),
        ("a shell", transfer("Create", SHELL, &[], ""), write),
        (
            "a command",
            request(&format!("{SHELL}/Command"), SHELL, "", ""),
            invoke,
        ),
    ]
}

fn has(rights: &[Right], needs: Needs) -> bool {
    match needs {
        Needs::Nothing => true,
        Needs::Any => !rights.is_empty(),
        Needs::One(right) => rights.contains(&right),
    }
}

/// Whether the door to an operation is shut; what lies behind it may fail for
/// reasons of its own.
async fn is_denied(bench: &Bench, envelope: &str) -> bool {
    let answer = bench.post(envelope).await;
    answer.status == 500 && gist(&fault_of(&answer)) == "wsman:AccessDenied 5"
}

#[tokio::test]
async fn each_operation_asks_for_its_right_and_no_other() {
    for rights in sets() {
        for (name, envelope, needs) in operations() {
            let mut machine = Machine::new();
            machine.bench.add_job();
            let mut by = Principal::with_rights_for_test("anna", &rights, &[]);
            // The configuration asks for more than a right to be changed.
            if envelope.contains(CONFIG) {
                by = by.as_administrator_for_test();
            }
            machine.bench.by = by;
            assert_eq!(
                is_denied(&machine.bench, &envelope).await,
                !has(&rights, needs),
                "{name} with {rights:?}"
            );
        }
    }
}

#[tokio::test]
async fn only_administrators_change_the_configuration_whatever_their_rights() {
    for (name, envelope, needs) in operations() {
        let is_change = envelope.contains(CONFIG) && needs != Needs::One(Right::Read);
        if !is_change {
            continue;
        }
        let mut machine = Machine::new();
        machine.bench.by = Principal::with_rights_for_test("anna", &ALL, &ALL);
        let answer = machine.bench.post(&envelope).await;
        assert_eq!(answer.status, 500, "{name}");
    }
    let mut machine = Machine::new();
    machine.bench.by = Principal::with_rights_for_test("anna", &ALL, &ALL);
    let restore = request(&format!("{CONFIG}/Restore"), CONFIG, "", "");
    assert!(is_denied(&machine.bench, &restore).await);
    machine.bench.by = machine.bench.by.as_administrator_for_test();
    assert!(!is_denied(&machine.bench, &restore).await);
}

#[tokio::test]
async fn a_pull_asks_for_the_right_to_what_is_listed() {
    let listener = format!("{CONFIG}/listener");
    for (uri, needs) in [
        (WMI, Needs::One(Right::Read)),
        (CLASSES, Needs::Any),
        (&listener, Needs::One(Right::Read)),
    ] {
        for rights in sets() {
            let mut machine = Machine::new();
            machine.bench.add_job();
            let begun = machine.bench.ok(&enumeration("Enumerate", uri, "")).await;
            let (_, rest) = begun.split_once("EnumerationContext>").expect("a context");
            let (context, _) = rest.split_once('<').expect("its end");
            // It is the user's: from another address he may do less.
            let owner = machine.bench.by.name().to_owned();
            machine.bench.by = Principal::with_rights_for_test(&owner, &rights, &[]);
            let pull = enumeration(
                "Pull",
                uri,
                &format!("<n:EnumerationContext>{context}</n:EnumerationContext>"),
            );
            let is_shut = is_denied(&machine.bench, &pull).await;
            assert_eq!(is_shut, !has(&rights, needs), "{uri} with {rights:?}");
            let release = pull.replace("Pull", "Release");
            if is_shut {
                assert_eq!(machine.bench.post(&release).await.status, 200, "{uri}");
            }
        }
    }
}

#[tokio::test]
async fn the_answer_to_a_put_is_for_whoever_may_put() {
    let mut bench = Bench::with_job();
    bench.by = Principal::with_rights_for_test("anna", &[Right::Write], &[]);
    let name = "<p:DisplayName>x</p:DisplayName>";
    let put = transfer("Put", WMI, &[("JobId", ID)], &job(name));
    assert!(bench.ok(&put).await.contains("DisplayName>x<"));
    assert!(is_denied(&bench, &transfer("Get", WMI, &[("JobId", ID)], "")).await);
}
