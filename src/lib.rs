//! `bitsd`: a background file-transfer service for Linux, managed over
//! WS-Management (`WinRM`), with the resource URIs, class shapes and job
//! semantics of Windows BITS.
//!
//! This page is the architecture. The wire is described in [DSP0226] and
//! [MS-WSMV], the classes in the BITS reference pages.
//!
//! # The way of a request
//!
//! ```text
//! socket ─ TLS ─ connection (owns what its log-on has proved)
//!    │  net, auth          who is this?          → Principal
//!    ▼
//! http ─ reads the body whole, within its limit; picks the charset
//!    ▼
//! soap ─ text → Envelope (checked once; limits on depth, nodes, attributes)
//!    ▼
//! wsman ─ one file per operation; selectors, fragments, contexts, faults
//!    ▼
//! provider ─ one file per CIM class: instance ↔ what the engine knows
//!    ▼
//! engine ─ commands on jobs; the scheduler decides, the runner does
//!    ▼                          ▲
//! store ─ job + files + events in one transaction
//! transfer ─ octets over HTTP(S): download, landing
//! ```
//!
//! And back: a finished range → `transfer` reports → `engine` applies it to
//! the `Job` value → `store.commit` → whoever asks reads the store.
//!
//! # Modules
//!
//! Foundations first; a module uses only those on lines above its own.
//! `tests/it/layers.rs` holds this order.
//!
//! ```text
//! xml  bits  config  telemetry    values and rules: no I/O, no clock
//! cim  soap  auth  transfer  store
//! engine  net                     run jobs; sockets and TLS
//! provider                        one file per CIM class
//! wsman                           one file per operation; the fault table
//! http                            routes
//! client  cli                     WS-Man client and command line
//! app                             puts the parts together
//! ```
//!
//! # What must hold
//!
//! 1. A class is defined in `schemas/` and nowhere else; each has a provider.
//! 2. A job's state changes only in `bits::Job`, by a pure function of job,
//!    input and time, and nobody sees the change before it is committed.
//! 3. An acknowledged request is durable.
//! 4. A file appears at its destination whole, at Complete, or not at all.
//!    Complete and Cancel commit an intent, work on disk, commit the end;
//!    recovery redoes an intent as often as it must.
//! 5. No handler runs without a `Principal`, which only `auth` can make.
//! 6. A log-on belongs to its connection. The body of a request is read
//!    before any answer, a 401 included.
//! 7. An error becomes a fault in one file, by a match without `_`.
//! 8. Nothing grows with the number of jobs or of the files of a job but the
//!    store: listings are keyset pages, contexts hold a key, channels are
//!    bounded.
//! 9. Octets of unknown origin meet a limit before a loop.
//! 10. Destinations lie under write roots; the address that a transfer really
//!     connects to is checked on every hop.
//! 11. Two records of progress per file. *Durable*: data synced, then the
//!     offset committed. *Written*: an unsynced record stamped with the boot
//!     id. After a crash of the process the written offset counts, after
//!     anything else the durable one; the file's length never does.
//! 12. Secrets are encrypted under a key with its own path and shown to nobody
//!     but the owner who wrote them.
//! 13. A request that changes something runs to its end though its client has
//!     gone.
//!
//! # Decisions
//!
//! Where Windows' own behaviour is not documented, or we differ on purpose:
//!
//! - **A big job's `Files` is nil.** `Files` costs some 300 octets a file. Where
//!   the instance would not fit the client's envelope, Get, `PutResponse` and
//!   enumeration answer it with `Files` nil; `FilesTotal` says how many there
//!   are. So the documented polling script works for jobs of any size.
//! - **A method that fails is a fault** with the HRESULT and its sentence;
//!   `ReturnValue` is 0 otherwise, also for a partial Complete
//!   (`BG_S_PARTIAL_COMPLETE`). A script must not take a failure for a success.
//! - **`JobId`** is shown as `{UPPER-CASE}`, read with or without braces in any
//!   case. **`Owner`** is the account name. `JobCompletionTime` is 0 while
//!   unset. `Completed` of a file is true once the file was transferred.
//! - **`ServiceAccount`** is checked, then without effect: jobs run as the
//!   service and belong to who made them.
//! - **Only the owner and administrators** see or touch a job; to others it does
//!   not exist.
//! - **Suspend** on a job in ERROR or TRANSFERRED succeeds and changes nothing.
//!   **Resume** on a TRANSFERRED job without new files does too.
//! - **A second file at the same destination** in one job is refused
//!   (`ERROR_FILE_EXISTS`), names compared without regard to case. Two jobs may
//!   have the same destination; the last Complete wins, as with BITS.
//! - **An existing file** at the destination is replaced at Complete.
//! - **Files of a job are fetched several at a time** (`files_per_job`), in
//!   order; BITS fetches them one by one. One failing file stops the job.
//! - **A missing or shifting size** is no error, as it is for BITS
//!   (0x80200011): a server without ranges or length is fetched whole.
//! - **Delete** cancels the job. **Create** (`New-WSManInstance`) is not
//!   supported yet.
//! - **Slots**: `running_jobs` run at the same time, whatever their priority;
//!   a more urgent job takes the slot of a less urgent one at once, an equal
//!   one after `time_slice_s`.
//! - **A smaller `MinimumRetryDelay` than 5 s** becomes 5 s.
//! - **Userinfo in a URL** becomes the job's Basic credentials for servers; like
//!   those set by `SetCredentials` they answer any server that the job names, and
//!   no server that only a redirect names.
//! - **A full disk** is a transient error, as are 408, 409, 429 and the 5xx but
//!   501 and 505. `Retry-After` is honoured up to 24 hours.
//! - **Files up to 1 MiB** stay in memory until they are whole, for half a second
//!   at most; then they too lie in a temporary file and can be resumed.
//! - **An answer that cannot be resumed** (206 without the validator that we hold,
//!   200 to a range) starts the file over; `BG_E_INSUFFICIENT_RANGE_SUPPORT` is
//!   not raised.
//! - **Absolute symbolic links** below a root are refused even where they point
//!   inside it; relative ones that stay inside are followed.
//! - **Proxies** are HTTP proxies; an `https` or SOCKS proxy is
//!   `BG_E_INVALID_PROXY_INFO`. Behind a proxy only literal addresses can be
//!   fenced: it is the proxy that resolves names.
//! - **A missing `ReplyTo`** is accepted; `MessageID` is needed. `OperationID` is
//!   neither used nor echoed. Static methods may bear key selectors, as `wsl`
//!   sends them.
//! - **A fragment Get of `Files`** that does not fit is a fault, never nil.
//! - **A change whose answer does not fit** the envelope is made, and answered by
//!   `UnreportableSuccess`.
//! - **Filters** (WQL, Selector, association) are `FilteringNotSupported` for now.
//! - **A generated certificate** is ECDSA P-256, valid for 820 days: rustls has no
//!   RSA key exchange for old clients anyway, and the handshake is cheaper.
//! - **XML is taken apart by a scanner of our own** (`xml/scan.rs` has the figures);
//!   quick-xml is its referee in the tests.
//!
//! [DSP0226]: https://www.dmtf.org/standards/ws-man
//! [MS-WSMV]: https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv

pub mod app;
mod auth;
mod bits;
mod cim;
mod cli;
mod client;
pub mod config;
mod engine;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod net;
mod provider;
mod soap;
mod store;
mod telemetry;
mod transfer;
mod wsman;
mod xml;
