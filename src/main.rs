//! `bitsd`: arguments in, exit code out. The rest is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bitsd::app::run()
}
