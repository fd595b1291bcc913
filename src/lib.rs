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
//! socket ─ TLS or none ─ connection (owns its log-on, and the keys of it)
//!    │  net, auth          who is this, and what may he do?   → Principal
//!    ▼
//! http ─ reads the body whole, within its limit; opens it if it is sealed;
//!    │   picks the charset; seals the answer to a sealed request
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
//! transfer ─ octets over HTTP(S): down, up, and the answer to what went up
//! ```
//!
//! Uploads of others: http ─ `BITS_POST` → hosting ─ octets → transfer's `Inbox`
//! (fences, hidden file, rename).
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
//! xml  bits  config               values and rules: no I/O, no clock
//! telemetry                       log, and how much of it strangers may fill; counters
//! vault                           secrets on disk, under a key of their own
//! trust                           may a server's certificate be trusted?
//! mechanism                       NTLM, SPNEGO, Kerberos by the library: tokens of log-ons, either side
//! cim  soap  document  transfer  store
//! auth                            who is this, and what may he do; seals messages
//! engine  hosting  net            run jobs; take uploads in; sockets, TLS, certificates
//! provider                        one file per CIM class
//! wsman                           one file per operation; the fault table
//! http                            routes; opens and seals bodies
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
//! 5. No handler runs without a `Principal`, which only `auth` can make; an upload
//!    folder for everybody says so in the settings.
//! 6. A log-on, with its keys, belongs to its connection. The body of a request
//!    is read before any answer, a 401 included.
//! 7. An error becomes a fault in one file, by a match without `_`.
//! 8. Nothing grows with the number of jobs or of the files of a job but the
//!    store: listings are keyset pages, contexts hold a key and a filter of
//!    bounded length, channels are bounded.
//! 9. Octets of unknown origin meet a limit before a loop.
//! 10. Destinations lie under write roots, sources of uploads under read roots; the
//!     address that a transfer really connects to is checked on every hop.
//! 11. Two records of progress per file. *Durable*: data synced, then the
//!     offset committed. *Written*: an unsynced record stamped with the boot
//!     id. After a crash of the process the written offset counts, after
//!     anything else the durable one; the file's length never does.
//! 12. Secrets are encrypted under a key with its own path and shown to nobody
//!     but the owner who wrote them.
//! 13. A request that changes something runs to its end though its client has
//!     gone.
//! 14. A 401 tells nobody whether the account exists, nor, while it is locked
//!     out, whether the password was right. The audit log says what happened,
//!     and no secret.
//! 15. What speaks to a library of C (`mechanism/gss`, `auth/pam`) is loaded at run
//!     time and is the only unsafe code. The binary runs without it.
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
//! - **Rights** are read (Get, Enumerate, Pull), write (Put, Create, Delete) and
//!   invoke (every method), each on one's own jobs or on everybody's. A missing one
//!   is `AccessDenied`, so is one on another's job that one may do something else
//!   to; a job that one may do nothing to does not exist. Classes describe
//!   themselves to whoever has any right. The answer to a Put shows the instance
//!   without the right to read.
//! - **Roles of one account** add up: rights each on the jobs of its role; folders
//!   and addresses of those that write or invoke, where one without leaves them
//!   open; of numbers the largest. A role whose `from` does not fit does not count.
//! - **`write_roots` and `reach` of the owner** count whenever a file is added,
//!   fetched or put in its place, wherever he logs on from, and for the proxy too;
//!   a file that somebody else adds to his job must fit both. Jobs of an owner who
//!   may make none any more reach and write nothing.
//! - **`*@REALM`** is every principal of that realm, compared octet by octet.
//!   Accounts of one name are one account, however they log on.
//! - **Suspend** on a job in ERROR or TRANSFERRED succeeds and changes nothing.
//!   **Resume** on a TRANSFERRED job without new files does too.
//! - **A second file at the same destination** in one job is refused
//!   (`ERROR_FILE_EXISTS`), names compared without regard to case. Two jobs may
//!   have the same destination; the last Complete wins, as with BITS.
//! - **An existing file** at the destination is replaced at Complete.
//! - **Files of a job are fetched several at a time** (`files_per_job`), in
//!   order; BITS fetches them one by one. One failing file stops the job.
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
//! - **Who runs** (`engine/scheduler.rs`): foreground jobs have slots of their own
//!   (`engine.foreground_jobs`), background jobs share `engine.running_jobs`. A lower
//!   priority gets nothing that a higher one can use. At one priority the slots go
//!   round the accounts, and an account's jobs are first come, first served; after
//!   `time_slice_s` a job makes room for one of the same account, or of one that
//!   holds fewer slots. A slot is never idle while somebody who may have it waits.
//!   A job that a stop of the service interrupts keeps its place.
//! - **The line is read by index** (`store/sqlite/line.rs`): next account, next job of
//!   an account, next host, next job to a host. No decision costs more than a bounded
//!   number of such seeks, with ten jobs or a million.
//! - **Two clocks** (`bits::Now`): `steady` counts `CLOCK_BOOTTIME`, never jumps, and
//!   goes on after a start from what the store keeps. By it jobs wait, run out of time
//!   and stand in line. `date` is the calendar: what clients are shown, and
//!   `StartAfter`. No comparison mixes the two, so a calendar that is set hurries,
//!   delays and ends nothing.
//! - **The network** is up while a route leads somewhere else than to loopback and
//!   link-local addresses. Without one, failures on the way of jobs to other hosts are
//!   `BG_E_NETWORK_DISCONNECTED`: not counted, no timer but `NoProgressTimeout`. When
//!   one comes, all jobs in `TRANSIENT_ERROR` are tried again.
//! - **`MaximumDownloadTime`** counts by the steady clock between entering and leaving
//!   CONNECTING and TRANSFERRING; the time while the service was down never counts.
//! - **A smaller `MinimumRetryDelay` than 5 s** becomes 5 s.
//! - **Userinfo in a URL** becomes the job's Basic credentials for servers; like
//!   those set by `SetCredentials` they answer any server that the job names, and
//!   no server that only a redirect names.
//! - **A missing or shifting size** is no error, as it is for BITS (0x80200011): a
//!   server without ranges or length is fetched whole. A body without length ends with
//!   its connection: with a clean end of TCP it is whole, since HTTP/1.0 has no other
//!   word for it; with TLS only after `close_notify`.
//! - **Octets are put behind others** only if the server proves by a strong validator
//!   that they are of the same version: an `ETag` without `W/`, else a `Last-Modified`
//!   at least a second older than `Date`, of 1,024 octets at most. Without one a file
//!   starts over, and the error says so. BITS compares size and date.
//! - **A range that was cut short** goes on with the next request; one that begins too
//!   early is taken from the octet that is missing; one that does not fit begins the
//!   file anew. 416 with our own size, of the same version, means that nothing is
//!   missing. One attempt begins a file anew twice at most and takes 16 short ranges;
//!   then the job waits for its retry delay.
//! - **200 to a range**: another version begins anew, the same one is read past what
//!   lies here. Log, event (`no_ranges`) and later errors say that the server has no
//!   ranges. With `require_ranges` it is 0x80200013, as with Windows.
//! - **Parts of a file** are asked for one by one, in the order of the client. Where the
//!   server has no ranges, or no strong validator that ties them together, the whole
//!   file is fetched once and the parts are taken out of it.
//! - **The expected SHA-256** is worked out while octets pass, from what lies here on
//!   when a file goes on, and compared before the file counts as transferred. Another
//!   one is 0x80200053, fatal: the file is dropped, Resume fetches it again.
//! - **`MAX_DOWNLOAD_SIZE`** counts what lies here of all files, announced sizes, and
//!   what flows where none is announced.
//! - **A method of its own** is sent without a body, once: every failure is fatal, and
//!   Resume begins at octet 0.
//! - **Custom headers** go with every request to the origin that the job names, and to
//!   no other, as credentials do. They replace ours, but not those by which messages
//!   are framed and parts are named.
//! - **Redirects** keep method and body; 303 after something that is not safe is its
//!   answer. An address met twice is a circle. Policy 0x100 gives the file its new
//!   address in the commit that has it as transferred, so that no retry and no
//!   credentials go there first.
//! - **Big files** begin with one connection. Three others help it before it has found
//!   its speed; later there are more or fewer parallel ranges, as that pays
//!   (`transfer/lanes.rs`). Another lane proves itself before the first gives anything
//!   up, and what has not answered is asked again (`transfer/feed.rs`). Octets reach
//!   the file in order: the records of progress stay one offset. So what waits for its
//!   turn comes again after a stop; it is no more than ten seconds bring. HTTP/2 is
//!   for many small files; ranges, big bodies and uploads go over HTTP/1.1, which
//!   measures faster. Above 250 MB/s no second lane is tried: the processor is the
//!   limit there.
//! - **What nobody was told may wait for a sync**: that a job has got a slot, and small
//!   files that came within the last half second, are noted (`Store::note`): a crash of
//!   the process keeps them, a loss of power lets them come again.
//! - **Big bodies pass hyper by**: of 256 KiB and more, with a length, over HTTP/1.1,
//!   they are read from the connection itself (`transfer/rest.rs`), which goes back to
//!   hyper behind them. Where nothing must see the octets (no TLS, no hash, no pace,
//!   memory as the file system) they go from socket to file through a pipe
//!   (`transfer/splice.rs`). What is sent without TLS goes from the file behind the
//!   head of its request by the kernel alone (`transfer/following.rs`).
//! - **Connections to one origin** are counted over all jobs; who finds no place waits
//!   in a line. An idle connection serves its own job only. Buffers share one memory,
//!   for which nobody waits: shares shrink as files come.
//! - **Transient faults of this host**: a full disk or quota (0x80070070; what was set
//!   aside beyond the synced octets is given back), a file system mounted for reading
//!   only (0x80070013), a write root that is gone (0x8020000D), another file system
//!   where synced octets lay (0x8020000E), too many open files, no memory. So are 408,
//!   409, 429 and the 5xx but 501 and 505; `Retry-After` is honoured up to 24 hours. A
//!   disk that fails is fatal.
//! - **Uploads** speak [MC-BUP] as Windows sends it, and read both public descriptions.
//!   An empty file, for which no form is defined, is `Content-Range: bytes */0`. The
//!   server's offset rules, also when it goes back. Close-Session is stored before it
//!   is sent: a server that knows the session no more has taken it.
//! - **What a server names gets no credentials**: `BITS-Host-Id` and `BITS-Reply-URL`
//!   of another origin are trusted as little as a redirect. A reply's address with a
//!   query is not stored: the server says it again.
//! - **PUT and POST** send a file as one request, from its first octet each try. A POST
//!   whose answer was lost is ERROR: nobody knows whether it was taken.
//! - **Cancel of an upload** commits the intent, and nobody sees the job from then on.
//!   Its server is told at once, or later for a day, also after a start.
//! - **A reply lands** beside the source of its upload unless the job names a file, and
//!   is put in its place at Complete. `ReplyFileName` can be changed until the reply
//!   begins and while the job does not run; null makes one up again.
//! - **Uploads of others** (`hosting`) come over the service's listeners. Their accounts
//!   need no rights on jobs. A file appears with its last fragment, whole and synced;
//!   one that is there and may not be replaced is 403. A fragment that overlaps is
//!   taken for its new part. The application behind is the administrator's address:
//!   the fences of transfers do not apply.
//! - **Files up to 1 MiB** stay in memory until they are whole, for half a second
//!   at most; then they too lie in a temporary file and can be resumed.
//! - **Of several challenges** of a server the strongest is answered that the job has
//!   credentials for: Negotiate, NTLM, Digest, Basic; Basic without TLS too, with a
//!   warning in the log. A rejected password is shown once, by one file of the job,
//!   and not again until Resume. Implicit credentials are the first principal of
//!   `transfer.keytab`; Passport is refused.
//! - **Proxies** are HTTP proxies, an `https` or SOCKS proxy and scripts (PAC, WPAD) are
//!   refused at the call. Usage 3 takes the environment of the service, then the
//!   settings. One that cannot be reached goes behind the others for five minutes.
//!   Behind a proxy only literal addresses can be fenced: it is the proxy that
//!   resolves names.
//! - **A pinned certificate** needs neither chain nor name; its dates count. The
//!   thumbprints of a job are exclusive. Security flag 0x1 wants every certificate but
//!   the authority's covered by a list that is in time. All that is wrong with a
//!   certificate is 0x80072F8F, as `WinHTTP` has it; the words tell it apart, and which
//!   flag or setting would take it.
//! - **Names** are looked up by 32 threads at most, one a name; nothing is cached, and
//!   addresses of both families are raced (RFC 8305), and one that is silent for 250 ms
//!   is tried a second time: the kernel takes a lost first packet for lost after a second.
//! - **Absolute symbolic links** below a root are refused even where they point
//!   inside it; relative ones that stay inside are followed.
//! - **Our own classes** live in `root/bitsd`. Microsoft's are abstract there, so that
//!   an enumeration of `BitsClientJob` is what it was in every mode. Setting what is
//!   set is never an error, so that a Get can be put back; `CustomHeaders` alone is
//!   left by null and removed by an empty text. `ReplaceRemotePrefix` answers how many
//!   files it changed; prefixes have no query.
//! - **Another's job** that has credentials or custom headers asks only where its owner
//!   let it: nobody else may add files, change addresses or set a proxy, an
//!   administrator neither (`E_ACCESSDENIED`). `TakeOwnership` forgets credentials,
//!   certificate and custom headers, needs bounds that allow every file, and then he
//!   may. The queries of its addresses are sent as before and shown to nobody any more.
//! - **What of native BITS is declined** stands in `bits::Declined` with its fault and
//!   sentence; the methods and property numbers that would set it answer that.
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
//! - **`winrm/config`** can be read by whoever may read and changed by
//!   administrators. What was changed is kept apart from the settings file, in
//!   `winrm-config.toml` of the state folder, and lies over it at the next start;
//!   `Restore` goes back to the settings file, not to Windows' defaults. A value
//!   that this service cannot change shows what is true and may be written back
//!   as it is; another one is a fault (2150859071), never silence.
//! - **A listener** stands for its sockets: `*` for IPv4 and IPv6 at one port. It
//!   has no `Hostname` and cannot be there without being `Enabled`. Rights are no
//!   security descriptors: `RootSDDL` says what the lists and roles come to (`BA`
//!   administrators, `BU` everybody else with all that one of them may),
//!   `service/security` is not supported. The `Password` of a certificate mapping
//!   is taken and not kept, since nobody is logged on by it. The one plug-in shown
//!   is the service itself.
//! - **The last way to log on** cannot be switched off: over the wire only what
//!   could log somebody on counts as one (library, keys and hashes are there), in
//!   the settings file what is switched on.
//! - **Failed log-ons** count for the account, if it exists, and for the address
//!   (an IPv6 /64 is one). The answer to the third and each further one from an
//!   address is held back, 0.5 s and then twice as long up to 8 s; while eight
//!   answers to an address wait, its log-ons are 503 unseen. With
//!   `lockout_failures = 0` nobody is locked out and nothing is held back.
//! - **The console** (any loopback address) is never locked out and locks out
//!   nobody; its wrong answers are only held back. An account keeps the eight
//!   addresses from which it was last used, for 90 days; each has a count of its
//!   own, so that strangers lock out strangers only.
//! - **Whoever is locked out** gets the 401 of a wrong password: an address before
//!   any work, an account after all of it. Established log-ons stay. A right
//!   password clears the failures of its account from its address and no others.
//! - **What is no failure**: a missing binding, a binding to another connection (a
//!   proxy that ends TLS would have its clients locked out), a certificate, what is
//!   no log-on at all, and what cannot be checked just now. A ticket of Kerberos
//!   that fails counts for its address alone.
//! - **Locks survive a restart** (`lockout.json` in the state folder). A damaged
//!   table is an error in the log and an empty table, never a refused start.
//! - **A log-on for a connection** ends with it, when the account's line in the
//!   user file changes, and after ten hours: an established context of Kerberos
//!   does not end with its ticket. 32 legs end an attempt, 20 failures in a row the
//!   connection.
//! - **An `Authorization` header** ends what another log-on has reached on its
//!   connection, but for the certificate that TLS has shown.
//! - **Channel binding** has one judge for NTLM and Kerberos. With an MIT library
//!   before 1.19, which does not say whether a client is bound, `Strict` refuses
//!   everybody. For certificates whose signature has no hash (Ed25519) the binding
//!   is of SHA-256, which RFC 5929 leaves open.
//! - **`Negotiate`** takes SPNEGO, and tokens of Kerberos and NTLM as they are. The
//!   mechanism is the one that the client likes best of those that we have; where
//!   it is not the first of his list, both sides must sign the list. A client none
//!   of whose mechanisms is there has not failed to log on. A negotiation that
//!   fails ends with a bare 401.
//! - **The scheme `NTLM`** goes with `Auth/Negotiate`; `Kerberos` has its own switch,
//!   which counts inside `Negotiate` too. Inside `CredSSP` both are there without
//!   `Auth/Negotiate`.
//! - **NTLM** is version 2 only, with extended session security. A right proof is
//!   asked for in every case; integrity code, clock (36 hours) and channel are
//!   looked at only after it. The account is the first that exists of `DOMAIN\user`,
//!   `user`, and the part of `user` before `@`, spelt exactly so. Below 128 bit, or
//!   where the client did not ask for it, nothing is sealed.
//! - **The NT hash** lies in the third field of the user file, encrypted for its
//!   account under the key of the secrets: once there is one, a lost key is a
//!   refused start. A new password without `--ntlm` takes it away.
//! - **Kerberos** is MIT's library. Without it or a keytab it is not offered; a
//!   keytab that is named and cannot be used refuses the start. It is read for each
//!   log-on: while it is gone or open to others, log-ons get 503. Delegated
//!   credentials are never taken.
//! - **A Kerberos account** is the principal with its realm, another one than the
//!   local account. Anonymous principals are nobody. The ticket must be for `HTTP/`,
//!   `HOST/` or `WSMAN/`, in any case, and be under a key of such a name, or of an
//!   account (`HOST$`) whose services share its key in Active Directory. DCE-style
//!   log-ons are refused.
//! - **Authenticators seen** are kept in `krb5.rcache2` below the state folder,
//!   beyond a restart; with a library before 1.18 where it keeps them itself.
//! - **`CredSSP`** is versions 5 and 6; what older ones bind by can be forged
//!   (CVE-2018-0886). It is bound to the TLS within its tokens, so
//!   `access.channel_binding` does not apply. The delegated password is unsealed,
//!   looked at for its form, and wiped: the account is that of the log-on within.
//!   Smart cards and Remote Credential Guard are refused.
//! - **The certificate within `CredSSP`** is the service's if its key is RSA, else
//!   one of RSA that lives as long as the process: clients check no name in it, and
//!   pyspnego binds to RSA keys only. A log-on that fails ends with the token that
//!   says why, for clients that read it.
//! - **PAM**: the name that the modules leave behind is the account; an expired
//!   password is refused; what PAM cannot find out is 503. What was right is
//!   remembered for 15 s, for the same address. For log and lock-out an account
//!   exists when the settings name it.
//! - **Sealed bodies** are framed as each client frames them: the answer has the
//!   protocol, the boundary and the indentation of its request. Where a message
//!   ends is known from the end of the body, from `Length`, or from TLS records; the
//!   boundary is never looked for in it. NUL behind the message is taken off.
//! - **Every answer with a body to a sealed request is sealed**, faults and the
//!   `AccessDenied` of an account in no list included. 401, 413, 415 and an empty
//!   200 have no body. Over TLS a message may be sealed or not, one by one.
//! - **A sealed message that cannot be opened** (tampered with, repeated, out of
//!   order) ends the log-on of its connection with a 401. If an answer cannot be
//!   sealed, it is a bare 500: what was asked for is done, and after a 401 a client
//!   would ask for it again. Kerberos seals with keys of RFC 4121 (AES) only.
//! - **An unsealed message over HTTP** is `AccessDenied`, in clear, and says what to
//!   do; the log-on stays. Only Identify without log-on needs no seal; `/metrics` is
//!   403. `access.allow_unencrypted` allows both, and Basic.
//! - **`MaxEnvelopeSizekb`** counts the envelope; a sealed body may have 512 octets
//!   more for each 16 KiB.
//! - **Certificates are read again** within seconds of a change of their files, and
//!   on SIGHUP: the server's pair, the authorities of clients, the lists of what
//!   they revoked; not the settings file. What cannot be read, or does not go
//!   together, leaves the old one in force. A session is never resumed under
//!   another certificate, and the binding is that of the one that was shown.
//! - **A generated certificate** is ECDSA P-256, valid for 820 days: rustls has no
//!   RSA key exchange for old clients anyway, and the handshake is cheaper. One that
//!   has ended, or was removed, is made again for the same key; not before its end,
//!   since clients that pin it must be told.
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
//!   count.
//! - **A client certificate by its own thumbprint** (SHA-1 or SHA-256 as `Issuer` of
//!   a mapping) is trusted for itself, as on Windows, signed by itself or not, CA or
//!   not. Its dates and purpose must fit; only mappings that name it count. TLS then
//!   names no authorities to clients, which would keep such a certificate back.
//! - **Lists of revoked certificates** are held against the whole chain where its
//!   issuers have one. A list past its `nextUpdate`, or not signed by its issuer,
//!   refuses the issuer's certificates; an issuer without a list revokes nothing.
//!   Connections that live are judged again when authorities or lists change.
//! - **Changed settings** count from the next request, connection or log-on on.
//!   Authorities that they need are read before, and those are in force then;
//!   where they cannot be read, an address cannot be had or the change cannot be
//!   written down, nothing has changed. A smaller limit closes nothing. The
//!   accounts, groups and roles in `access` stay those of the start, and so does
//!   the number of log-ons that wait.
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
mod hosting;
mod http;
mod mechanism;
mod net;
mod provider;
mod soap;
mod store;
mod telemetry;
mod transfer;
mod trust;
mod vault;
mod wsman;
mod xml;
