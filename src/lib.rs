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
//! vault                           secrets on disk, under a key of their own
//! cim  soap  document  auth  transfer  store
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
//!    store: listings are keyset pages, contexts hold a key and a filter of
//!    bounded length, channels are bounded.
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
//! - **Delete** cancels the job. **Create** (`New-WSManInstance`) makes a suspended
//!   job of the writable properties and of `Files`, all or nothing; `DisplayName`
//!   is required. What only the service sets may be given as nil alone, and no
//!   selector names a key: the service makes it.
//! - **A read-only property in a Put** is passed over, unless the client lists it
//!   as modified (`__MIInstanceModifiedPropertiesList`): that is a fault.
//! - **Classes as CIM-XML** come with the detail that the options ask for, none
//!   without options. `CLASSORIGIN` comes with any other detail unless refused:
//!   the CIM cmdlets do not ask for it, and need it. An enumeration gives all
//!   descendants unless `IncludeSubClasses` is false; paths are local ones.
//! - **`RequestEPR`** is heeded by Get, Put and Create; an enumeration has no one
//!   address.
//! - **`UsePreciseArrays`** is heeded: null is marked
//!   `IsNullArray`, an empty array is absent.
//! - **Fragments** are the level-1 path, from the instance or the name of its
//!   class; the one attribute is `xsi:nil`. The whole instance is no fragment, and
//!   an array is set as a whole: its places may have moved since they were read.
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
//! - **A filter without a dialect** is `XPath`, as the schema has it, unless it
//!   begins like a query of WQL. `XPath` is level 1 with comparisons, `and`, `or`
//!   and `not()`; Windows has none for WMI.
//! - **Null in a filter**: no comparison holds for it, `NOT LIKE` included; `NOT`
//!   before a comparison does. `= NULL` means `IS NULL`.
//! - **Case in a filter** is folded character by character, in every script: `ß`
//!   is not `ss`.
//! - **System properties** may be selected, and have no column. `__CLASS` and
//!   others that the class decides may be compared; `__PATH`, `__RELPATH`,
//!   `__SERVER` and `__DERIVATION` make a query invalid.
//! - **Queries for events or classes** are refused as not supported (0x8004100C);
//!   a filter of more than 16 KiB, 256 comparisons or 32 parentheses within one
//!   another is a violated quota (0x8004106C).
//! - **A missing `ReplyTo`** is accepted; `MessageID` is needed. `OperationID` is
//!   neither used nor echoed. Static methods may bear key selectors, as `wsl`
//!   sends them.
//! - **Languages** are English and the Portuguese of Brazil, for faults by the
//!   first part of `wsman:Locale`, for `GetError` by `LanguageId`; whoever asks
//!   for another one gets English. The details of a failure are in English:
//!   others read its addresses and paths. `DataLocale` has no effect.
//! - **Faults** name the host as the client did, also in the provider's part:
//!   the name that the host gives itself is nobody's business. Errors that
//!   WMI's provider would raise carry its status; requests by the DMTF's URIs
//!   get `MSFT_WmiError` behind the `f:WSManFault`. Sentences are cut so that a
//!   fault fits into the smallest envelope.
//! - **Options** that nobody knows are passed over, with `MustComply` too, as
//!   Windows does for classes; one without a name is refused.
//! - **A fragment Get of `Files`** that does not fit is a fault, never nil.
//! - **A change whose answer does not fit** the envelope is made, and answered by
//!   `UnreportableSuccess`.
//! - **WQL on the URI of a class** is taken as on that of all classes of its
//!   namespace: the class after FROM counts. Windows refuses it.
//! - **An embedded class** (`BitsClientFile`) has no instances of its own, and
//!   **no class is associated** with another: such enumerations are empty and
//!   complete. The object that an association begins at must be there.
//! - **Embedded instances in a row** of a projection have neither namespace nor
//!   `xsi:type`.
//! - **A search that takes long** answers with what it has after two seconds. As
//!   long as it has nothing, an optimized Enumerate takes all of its
//!   `OperationTimeout` but a quarter (five seconds at most) and answers without
//!   items; a Pull takes all of its time and is `TimedOut`, and the next one goes
//!   on from there.
//! - **How many items a filter leaves** is not told (nil).
//! - **`Expires` as a date** is `UnsupportedExpirationType`: the clocks of client
//!   and service need not agree. More than a day is cut to one.
//! - **The order of a filtered listing** is that of the keys, or of the time that
//!   the filter bounds, whichever way has fewer jobs to look at. A job that changes
//!   while it is listed by `JobLastModificationTime` may come again, as it is then.
//! - **A filter on `Owner`** is looked for in the store where at most 1,024 accounts
//!   own jobs (fewer when it has many or long comparisons of owners); above that
//!   it is evaluated job by job.
//! - **`winrm/config`** can be read by whoever has logged on and changed by
//!   administrators. What was changed is kept apart from the settings file, in
//!   `winrm-config.toml` of the state folder, and lies over it at the next start;
//!   `Restore` goes back to the settings file, not to Windows' defaults. A value
//!   that this service cannot change shows what is true and may be written back
//!   as it is; another one is a fault (2150859071), never silence.
//! - **A listener** stands for its sockets: `*` for IPv4 and IPv6 at one port. It
//!   has no `Hostname` and cannot be there without being `Enabled`; one for HTTP
//!   is refused. Rights are no security descriptors: `RootSDDL` says what the
//!   lists of the settings come to, `service/security` is not supported. The
//!   `Password` of a certificate mapping is taken and not kept, since nobody is
//!   logged on by it. The one plug-in shown is the service itself.
//! - **The last way to log on** cannot be switched off, in the settings file
//!   neither.
//! - **A generated certificate** is ECDSA P-256, valid for 820 days: rustls has no
//!   RSA key exchange for old clients anyway, and the handshake is cheaper.
//! - **A client certificate that is not good** (another authority, expired, not
//!   for clients) leaves the connection as it would be without, so that Basic
//!   works; the audit log has a line, if it has not had ten in that second. One
//!   that is good, but stands for nobody, is `AccessDenied`.
//! - **A certificate needs no header**; its scheme is taken, but not offered in a
//!   401, since HTTP allows no such name. A proof by certificate holds as long as
//!   the settings do under which it was found, and not beyond its own end.
//! - **Certificate mappings**: the length of a pattern is that without its `*`; two
//!   that are equally long deny. ASCII letters are compared without case, others
//!   as they are. URI patterns are applied when the request has been read, to its
//!   URI written out, so that `winrm/config` is no way around them; where there
//!   is no resource (`/metrics`) only `*` fits. The class after FROM does not
//!   count. Revocation lists are not read.
//! - **Changed settings** count from the next request, connection or log-on on.
//!   Authorities that they need are read before, and those are in force then;
//!   where they cannot be read, an address cannot be had or the change cannot be
//!   written down, nothing has changed. A smaller limit closes nothing. The
//!   accounts in `access` stay those of the start, and so does the number of
//!   log-ons that wait.
//! - **An address that stands in the way** of a new one on its port (`127.0.0.1` of
//!   `0.0.0.0`) is closed before the new one is bound, and opened again when that
//!   fails.
//! - **`/metrics`** is for administrators only.
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
mod document;
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
mod vault;
mod wsman;
mod xml;
