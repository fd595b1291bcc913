//! Commands to paste, against the endpoint that keeps running.

use crate::cli::bits_client_job::JOB;
use crate::cli::output;
use crate::xml::ns;

use super::endpoint::Endpoint;
use super::walk::Task;

/// Prints how the same is done by hand.
pub(super) fn print(endpoint: &Endpoint, task: &Task) {
    let Some(source) = task.sources.first() else {
        return;
    };
    // The demonstration's own file is there already.
    let local = format!("{}.again", source.local_file);
    output::line(&powershell(endpoint, &source.url, &local));
    output::line(&curl(endpoint));
    output::line(&own(endpoint, &source.url, &local));
}

/// Microsoft's cmdlets; the alias `wmi/` is expanded by them.
fn powershell(endpoint: &Endpoint, url: &str, local: &str) -> String {
    let (host, port) = (endpoint.address.ip(), endpoint.address.port());
    let uri = "wmi/root/microsoft/bits/BitsClientJob";
    // The cmdlet puts values into XML as they are.
    let url = single_quoted(&xml(url));
    let local = single_quoted(&xml(local));
    format!(
        "\nPowerShell (on Windows; the endpoint listens on loopback only, so forward the port first):\n\
         \x20 $s = New-WSManSessionOption -SkipCACheck -SkipCNCheck -SkipRevocationCheck\n\
         \x20 $p = ConvertTo-SecureString '{password}' -AsPlainText -Force\n\
         \x20 $c = New-Object System.Management.Automation.PSCredential '{user}', $p\n\
         \x20 $o = @{{ ComputerName = '{host}'; Port = {port}; UseSSL = $true; SessionOption = $s; Authentication = 'Basic'; Credential = $c }}\n\
         \x20 $r = Invoke-WSManAction -Action CreateJob -ResourceURI {uri} -ValueSet @{{ DisplayName = 'again'; RemoteUrl = {url}; LocalFile = {local}; Type = 0; Suspend = $true }} @o\n\
         \x20 $k = @{{ JobId = $r.JobId }}\n\
         \x20 Set-WSManInstance -ResourceURI {uri} -SelectorSet $k -ValueSet @{{ Priority = 0 }} @o\n\
         \x20 Invoke-WSManAction -Action SetJobState -ResourceURI {uri} -SelectorSet $k -ValueSet @{{ JobState = 2 }} @o\n\
         \x20 Get-WSManInstance -ResourceURI {uri} -SelectorSet $k @o\n\
         \x20 Invoke-WSManAction -Action SetJobState -ResourceURI {uri} -SelectorSet $k -ValueSet @{{ JobState = 1 }} @o",
        password = endpoint.password.reveal(),
        user = endpoint.user,
    )
}

/// One request by hand: the jobs there are.
fn curl(endpoint: &Endpoint) -> String {
    let body = format!(
        "<s:Envelope xmlns:s=\"{soap}\" xmlns:a=\"{addressing}\" xmlns:w=\"{wsman}\" xmlns:n=\"{enumeration}\">\
         <s:Header><a:To>https://{address}/wsman</a:To><w:ResourceURI>{JOB}</w:ResourceURI>\
         <a:ReplyTo><a:Address>{anonymous}</a:Address></a:ReplyTo>\
         <a:Action>{enumeration}/Enumerate</a:Action><a:MessageID>uuid:1</a:MessageID></s:Header>\
         <s:Body><n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>20</w:MaxElements></n:Enumerate></s:Body>\
         </s:Envelope>",
        soap = ns::SOAP,
        addressing = ns::ADDRESSING,
        wsman = ns::WSMAN,
        enumeration = ns::ENUMERATION,
        anonymous = ns::ANONYMOUS,
        address = endpoint.address,
    );
    format!(
        "\ncurl (lists the jobs):\n\
         \x20 curl --cacert {certificate} -u {user}:{password} -H 'Content-Type: application/soap+xml;charset=UTF-8' \\\n\
         \x20   --data-binary '{body}' https://{address}/wsman",
        certificate = shell(&endpoint.certificate.display().to_string()),
        user = endpoint.user,
        password = endpoint.password.reveal(),
        address = endpoint.address,
    )
}

/// This program.
fn own(endpoint: &Endpoint, url: &str, local: &str) -> String {
    let pin = endpoint
        .pin()
        .map(|pin| pin.to_string())
        .unwrap_or_default();
    let program = std::env::current_exe().map_or_else(
        |_| "bitsd".to_owned(),
        |path| shell(&path.display().to_string()),
    );
    format!(
        "\nbitsd job:\n\
         \x20 export BITSD_HOST={address} BITSD_USER={user} BITSD_PIN={pin}\n\
         \x20 export BITSD_PASSWORD_FILE={password_file}\n\
         \x20 {program} job create again {url} {local} --priority foreground\n\
         \x20 {program} job list\n\
         \x20 {program} job watch again --complete",
        address = endpoint.address,
        user = endpoint.user,
        password_file = shell(&endpoint.password_file.display().to_string()),
        url = shell(url),
        local = shell(local),
    )
}

/// A word for a POSIX shell.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | ':');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A string for PowerShell.
fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Text as it stands in XML.
fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_their_shell() {
        assert_eq!(shell("/a-b/c.d"), "/a-b/c.d");
        assert_eq!(shell("a'b c"), "'a'\\''b c'");
        assert_eq!(shell("C:\\f"), "'C:\\f'");
        assert_eq!(single_quoted(&xml("a&b'c")), "'a&amp;b''c'");
    }
}
