//! The rows that only `winrm/config` has, as [`super::answers`] has the others.

use super::super::config::CONFIG;
use super::super::config::LOCAL;
use super::super::config::MAPPING;
use super::super::config::Machine;
use super::super::config::document;
use super::super::config::transfer;
use super::answers::check;
use super::*;

fn cases() -> Vec<(&'static str, String)> {
    let put = |inner: &str| transfer("Put", "", &[], &document("Config", "", inner));
    let option = "<w:OptionSet><w:Option Name=\"o\" MustComply=\"true\">1</w:Option></w:OptionSet>";
    let plain = request(&format!("{TRANSFER}/Get"), CONFIG, option, "");
    vec![
        (
            "000-no-such-mapping",
            transfer("Get", "/service/certmapping", OTHER, ""),
        ),
        (
            "013-no-second-configuration",
            transfer("Create", "", &[], &document("Config", "", "")),
        ),
        ("033-mapping-exists", create_mapping()),
        ("041-unknown-setting", put("<cfg:Colour>1</cfg:Colour>")),
        ("051-option-must-be-complied-with", plain),
        (
            "056-setting-out-of-range",
            put("<cfg:MaxBatchItems>0</cfg:MaxBatchItems>"),
        ),
        (
            "057-mapping-for-nobody",
            transfer(
                "Create",
                "/service/certmapping",
                OTHER,
                &document("CertMapping", "/service/certmapping", ""),
            ),
        ),
        (
            "05a-listener-is-half-named",
            transfer("Get", "/listener", &LOCAL[..1], ""),
        ),
        (
            "05e-two-listeners-at-an-address",
            transfer("Get", "/listener", LOCAL, ""),
        ),
        (
            "0ed-mapping-of-another",
            transfer(
                "Put",
                "/service/certmapping",
                MAPPING,
                &document(
                    "CertMapping",
                    "/service/certmapping",
                    "<cfg:Subject>x</cfg:Subject>",
                ),
            ),
        ),
        (
            "13f-setting-is-fixed",
            put("<cfg:Service><cfg:AllowRemoteAccess>true</cfg:AllowRemoteAccess></cfg:Service>"),
        ),
        (
            "1ae-setting-is-frozen",
            put("<cfg:MaxProviderRequests>7</cfg:MaxProviderRequests>"),
        ),
    ]
}

#[tokio::test]
async fn every_row_of_the_configuration_has_its_answer() {
    let machine = Machine::with(|settings| {
        settings.service.listen = ["127.0.0.1:1", "127.0.0.1:2"]
            .map(|address| address.parse().expect("an address"))
            .to_vec();
    });
    machine.bench.ok(&create_mapping()).await;
    for (name, request) in cases() {
        check(name, &machine.bench.post(&request).await);
    }
}

fn create_mapping() -> String {
    let user = "<cfg:UserName>anna</cfg:UserName>";
    let mapping = document("CertMapping", "/service/certmapping", user);
    transfer("Create", "/service/certmapping", MAPPING, &mapping)
}

/// The keys of a mapping that is not there.
const OTHER: &[(&str, &str)] = &[
    ("Issuer", "0123456789ABCDEF0123456789ABCDEF01234567"),
    ("Subject", "*@example.net"),
    ("URI", "*"),
];
