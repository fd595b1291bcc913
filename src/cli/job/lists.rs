//! The files that a command line names, by itself and in lists.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::cli::Failure;
use crate::cli::bitsd_job::FileSpec;

use super::args;
use super::args::FileArgs;

/// Every file: those of the command line, then those of the list.
///
/// # Errors
///
/// [`Failure::Usage`] that names the line, or what is missing.
pub(super) fn files(args: &FileArgs) -> Result<Vec<FileSpec>, Failure> {
    let pairs = args::pairs(&args.files)?;
    for (given, option) in [(&args.sha256, "--sha256"), (&args.range, "--range")] {
        if !given.is_empty() && given.len() != pairs.len() {
            return Err(Failure::Usage(format!(
                "{option} goes once with each file: {} for {}",
                given.len(),
                pairs.len()
            )));
        }
    }
    let mut files: Vec<FileSpec> = pairs
        .into_iter()
        .enumerate()
        .map(|(at, (url, local))| FileSpec {
            url: url.to_owned(),
            local: local.to_owned(),
            ranges: args.range.get(at).cloned(),
            sha256: args.sha256.get(at).cloned(),
        })
        .collect();
    if let Some(path) = &args.from {
        files.extend(listed(path)?);
    }
    if files.is_empty() {
        return Err(Failure::Usage("there is no file".to_owned()));
    }
    Ok(files)
}

fn listed(path: &Path) -> Result<Vec<FileSpec>, Failure> {
    let refused = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_LIST).read_to_string(&mut text))
        .map_err(|error| refused(error.to_string()))?;
    if text.len() as u64 == MAX_LIST {
        return Err(refused(format!("longer than {MAX_LIST} octets")));
    }
    read(&text).map_err(|line| refused(format!("line {line} is not URL, destination, SHA-256")))
}

/// The files of a list, or the number of the first line that is none.
fn read(text: &str) -> Result<Vec<FileSpec>, usize> {
    let mut files = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // With tabs, names may have blanks.
        let parts: Vec<&str> = if line.contains('\t') {
            line.split('\t').map(str::trim).collect()
        } else {
            line.split_whitespace().collect()
        };
        let (url, local, sha256) = match parts.as_slice() {
            [url, local] => (url, local, None),
            [url, local, hash] => (url, local, Some((*hash).to_owned())),
            _ => return Err(at + 1),
        };
        files.push(FileSpec {
            url: (*url).to_owned(),
            local: (*local).to_owned(),
            ranges: None,
            sha256: sha256.filter(|hash| !hash.is_empty()),
        });
    }
    Ok(files)
}

/// Octets of a list: some hundred thousand files.
const MAX_LIST: u64 = 64 * 1_024 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_a_file_a_line() {
        let text = "# all of it\n\nhttp://h/a /d/a\r\nhttp://h/b\t/d/b b\tff\n";
        let files = read(text).expect("a list");
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].local, "/d/a");
        assert_eq!(files[1].local, "/d/b b");
        assert_eq!(files[1].sha256.as_deref(), Some("ff"));
        assert_eq!(read("http://h/a /d/a\nhttp://h/b"), Err(2));
        assert_eq!(read("a b c d"), Err(1));
    }
}
