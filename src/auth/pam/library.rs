//! `libpam.so.0`, loaded at run time: the binary is built and runs without it.
//!
//! All that is unsafe about PAM is here: its functions as `security/pam_appl.h`
//! declares them, and the conversation by which its modules ask for name and
//! password.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::ptr;

use libloading::Library;
use zeroize::Zeroizing;

use super::Answer;
use super::answer;

/// The functions of the library.
pub(super) struct PamLibrary {
    start: StartFunction,
    /// From Linux-PAM 1.4 on.
    start_confdir: Option<StartConfdirFunction>,
    authenticate: FlagsFunction,
    acct_mgmt: FlagsFunction,
    set_item: SetItemFunction,
    get_item: GetItemFunction,
    end: EndFunction,
    strerror: StrerrorFunction,
    /// INVARIANT: the functions above are its, and live no longer.
    _library: Library,
}

/// One log-on with PAM, from `pam_start` to `pam_end`.
pub(super) struct Transaction<'l> {
    library: &'l PamLibrary,
    handle: *mut Handle,
    /// What the last function said: `pam_end` passes it to the modules.
    status: c_int,
    /// INVARIANT: PAM has the address of it until `pam_end`.
    _said: Box<Said>,
}

/// What the client has said.
pub(super) struct Said {
    name: CString,
    /// With a zero octet at its end, and none before.
    password: Zeroizing<Vec<u8>>,
}

/// Where PAM finds its services.
#[derive(Clone, Copy)]
pub(super) enum Folder<'f> {
    /// Where the host has them.
    Host,
    /// In this folder.
    Own(&'f CStr),
}

/// What a function of PAM cannot do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Status(pub(super) i32);

impl PamLibrary {
    /// Loads the library `name`.
    ///
    /// # Errors
    ///
    /// There is no such library, or it lacks a function.
    pub(super) fn open(name: &str) -> Result<Self, libloading::Error> {
        // SAFETY: loading runs the initialisers of the library that the host's
        // own programs log people on by. The types of the functions are those
        // of `security/pam_appl.h`, unchanged since 1996 (`pam_start_confdir`
        // since 2020).
        unsafe {
            let library = Library::new(name)?;
            Ok(Self {
                start: *library.get(c"pam_start")?,
                start_confdir: library.get(c"pam_start_confdir").ok().map(|found| *found),
                authenticate: *library.get(c"pam_authenticate")?,
                acct_mgmt: *library.get(c"pam_acct_mgmt")?,
                set_item: *library.get(c"pam_set_item")?,
                get_item: *library.get(c"pam_get_item")?,
                end: *library.get(c"pam_end")?,
                strerror: *library.get(c"pam_strerror")?,
                _library: library,
            })
        }
    }

    /// Holds when services can be in a folder of one's own.
    pub(super) fn has_folders(&self) -> bool {
        self.start_confdir.is_some()
    }

    /// Begins a log-on by `service`.
    ///
    /// # Errors
    ///
    /// What PAM says: it has no such service, or cannot read it.
    pub(super) fn start(
        &self,
        service: &CStr,
        folder: Folder<'_>,
        said: Said,
    ) -> Result<Transaction<'_>, Status> {
        let said = Box::new(said);
        let conversation = Conversation {
            converse,
            data: ptr::from_ref::<Said>(&said).cast_mut().cast(),
        };
        let mut handle = ptr::null_mut();
        let (service, user) = (service.as_ptr(), said.name.as_ptr());
        // SAFETY: all pointers are to values that live through the call. PAM
        // copies the texts and the conversation; what the conversation points
        // to is in the box, which the transaction keeps.
        let status = unsafe {
            match (folder, self.start_confdir) {
                (Folder::Host, _) => {
                    (self.start)(service, user, &raw const conversation, &raw mut handle)
                }
                (Folder::Own(folder), Some(start)) => start(
                    service,
                    user,
                    &raw const conversation,
                    folder.as_ptr(),
                    &raw mut handle,
                ),
                (Folder::Own(_), None) => SYSTEM_ERR,
            }
        };
        if status != SUCCESS || handle.is_null() {
            if !handle.is_null() {
                // SAFETY: PAM gave the handle, and it is not used any more.
                unsafe { (self.end)(handle, status) };
            }
            return Err(Status(if status == SUCCESS {
                SYSTEM_ERR
            } else {
                status
            }));
        }
        Ok(Transaction {
            library: self,
            handle,
            status,
            _said: said,
        })
    }

    /// What a status means, in the words of PAM.
    pub(super) fn text(&self, status: Status) -> String {
        // SAFETY: Linux-PAM does not look at the handle, and gives a constant
        // text, or none.
        unsafe {
            let text = (self.strerror)(ptr::null_mut(), status.0);
            if text.is_null() {
                return format!("PAM status {}", status.0);
            }
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}

impl Said {
    /// Name and password; none if one of them has a zero octet, which no module
    /// would see the rest of.
    pub(super) fn new(name: &str, password: &str) -> Option<Self> {
        let name = CString::new(name).ok()?;
        if password.contains('\0') {
            return None;
        }
        // Once, and large enough: a vector that grows leaves copies.
        let mut octets = Zeroizing::new(Vec::with_capacity(password.len() + 1));
        octets.extend_from_slice(password.as_bytes());
        octets.push(0);
        Some(Self {
            name,
            password: octets,
        })
    }
}

impl Transaction<'_> {
    /// Tells the modules where the client is, and that they shall not hold up
    /// the thread after a failure: who fails often is locked out elsewhere.
    ///
    /// # Errors
    ///
    /// What PAM says.
    pub(super) fn introduce(&mut self, remote_host: &CStr) -> Result<(), Status> {
        let delay: DelayFunction = no_delay;
        self.set(REMOTE_HOST, remote_host.as_ptr().cast())?;
        self.set(FAIL_DELAY, delay as *const c_void)
    }

    fn set(&mut self, item: c_int, value: *const c_void) -> Result<(), Status> {
        // SAFETY: the handle is open. PAM copies a text that ends in zero; the
        // function for delays is one of this program.
        let status = unsafe { (self.library.set_item)(self.handle, item, value) };
        self.keep(status)
    }

    /// Is the password right?
    ///
    /// # Errors
    ///
    /// What PAM says: also that it is wrong.
    pub(super) fn authenticate(&mut self) -> Result<(), Status> {
        // SAFETY: the handle is open, and what the conversation needs is kept.
        let status = unsafe { (self.library.authenticate)(self.handle, FLAGS) };
        self.keep(status)
    }

    /// May the account be used now?
    ///
    /// # Errors
    ///
    /// What PAM says: also that it may not.
    pub(super) fn check_account(&mut self) -> Result<(), Status> {
        // SAFETY: as above.
        let status = unsafe { (self.library.acct_mgmt)(self.handle, FLAGS) };
        self.keep(status)
    }

    /// Whom the modules take him for, which may be another name than the
    /// client's; none if it is no text.
    ///
    /// # Errors
    ///
    /// What PAM says.
    pub(super) fn user(&mut self) -> Result<Option<String>, Status> {
        let mut item: *const c_void = ptr::null();
        // SAFETY: the handle is open; PAM sets the pointer to a text of its own.
        let status = unsafe { (self.library.get_item)(self.handle, USER, &raw mut item) };
        self.keep(status)?;
        if item.is_null() {
            return Ok(None);
        }
        // SAFETY: a name is a text that ends in zero; it is PAM's until the
        // next function that is called with the handle.
        let name = unsafe { CStr::from_ptr(item.cast()) };
        Ok(name.to_str().ok().map(str::to_owned))
    }

    fn keep(&mut self, status: c_int) -> Result<(), Status> {
        self.status = status;
        if status == SUCCESS {
            Ok(())
        } else {
            Err(Status(status))
        }
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nobody has it after this.
        unsafe { (self.library.end)(self.handle, self.status) };
    }
}

/// Answers what modules ask: `data` is a [`Said`].
///
/// # Safety
///
/// As `struct pam_conv` has it: `messages` points to `count` pointers to
/// messages, `responses` to a place for the array of responses, which is the
/// module's then and comes from `malloc`.
unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let Ok(count @ 1..=MAX_MESSAGES) = usize::try_from(count) else {
        return CONV_ERR;
    };
    if messages.is_null() || responses.is_null() || data.is_null() {
        return CONV_ERR;
    }
    // SAFETY: what the caller promises; `data` is from `PamLibrary::start`,
    // whose transaction is still open. `calloc` gives zeroed room for `count`
    // responses, or null; a response without text is all zeros.
    unsafe {
        let said = &*data.cast::<Said>().cast_const();
        let made = calloc(count, size_of::<Response>()).cast::<Response>();
        if made.is_null() {
            return BUF_ERR;
        }
        for at in 0..count {
            let message = *messages.add(at);
            let asked = if message.is_null() {
                Answer::Refuse
            } else {
                answer((*message).style)
            };
            let text = match asked {
                Answer::Nothing => continue,
                Answer::Name => copy(said.name.as_bytes_with_nul()),
                Answer::Password => copy(&said.password),
                Answer::Refuse => ptr::null_mut(),
            };
            if text.is_null() {
                forget(made, at);
                return if asked == Answer::Refuse {
                    CONV_ERR
                } else {
                    BUF_ERR
                };
            }
            (*made.add(at)).text = text;
        }
        *responses = made;
    }
    SUCCESS
}

/// A copy of `octets` from `malloc`; null when there is no room.
fn copy(octets: &[u8]) -> *mut c_char {
    // SAFETY: the new room is as large as what is copied, and another one.
    unsafe {
        let room = calloc(octets.len(), 1).cast::<u8>();
        if !room.is_null() {
            ptr::copy_nonoverlapping(octets.as_ptr(), room, octets.len());
        }
        room.cast()
    }
}

/// Frees responses that no module gets; the texts of the first `count` may be
/// passwords.
///
/// # Safety
///
/// `made` is from `calloc`, and so are the texts.
unsafe fn forget(made: *mut Response, count: usize) {
    // SAFETY: as promised; each text ends in zero.
    unsafe {
        for at in 0..count {
            let text = (*made.add(at)).text;
            if text.is_null() {
                continue;
            }
            let length = CStr::from_ptr(text).count_bytes();
            zeroize::Zeroize::zeroize(std::slice::from_raw_parts_mut(text.cast::<u8>(), length));
            free(text.cast());
        }
        free(made.cast());
    }
}

/// In place of the sleep after a failure.
extern "C" fn no_delay(_: c_int, _: c_uint, _: *mut c_void) {}

/// `pam_handle_t`.
#[repr(C)]
struct Handle {
    _hidden: [u8; 0],
}

/// `struct pam_message`.
#[repr(C)]
struct Message {
    style: c_int,
    _text: *const c_char,
}

/// `struct pam_response`.
#[repr(C)]
struct Response {
    text: *mut c_char,
    _code: c_int,
}

/// `struct pam_conv`.
#[repr(C)]
struct Conversation {
    converse:
        unsafe extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int,
    data: *mut c_void,
}

type StartFunction = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const Conversation,
    *mut *mut Handle,
) -> c_int;
type StartConfdirFunction = unsafe extern "C" fn(
    *const c_char,
    *const c_char,
    *const Conversation,
    *const c_char,
    *mut *mut Handle,
) -> c_int;
type FlagsFunction = unsafe extern "C" fn(*mut Handle, c_int) -> c_int;
type SetItemFunction = unsafe extern "C" fn(*mut Handle, c_int, *const c_void) -> c_int;
type GetItemFunction = unsafe extern "C" fn(*const Handle, c_int, *mut *const c_void) -> c_int;
type EndFunction = unsafe extern "C" fn(*mut Handle, c_int) -> c_int;
type StrerrorFunction = unsafe extern "C" fn(*mut Handle, c_int) -> *const c_char;
type DelayFunction = extern "C" fn(c_int, c_uint, *mut c_void);

// SAFETY: these are the functions of the C library, as C has them.
unsafe extern "C" {
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn free(room: *mut c_void);
}

const SUCCESS: c_int = 0;
const SYSTEM_ERR: c_int = 4;
const BUF_ERR: c_int = 5;
const CONV_ERR: c_int = 19;

const USER: c_int = 2;
const REMOTE_HOST: c_int = 4;
const FAIL_DELAY: c_int = 10;

/// `PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK`.
const FLAGS: c_int = 0x8000 | 0x0001;

/// `PAM_MAX_NUM_MSG`.
const MAX_MESSAGES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// Has `styles` answered, as a module would; the texts, or the status.
    fn ask(styles: &[c_int]) -> Result<Vec<Option<String>>, c_int> {
        let said = Said::new("alice", "pässword").expect("no zero octet");
        let messages: Vec<Message> = styles
            .iter()
            .map(|style| Message {
                style: *style,
                _text: c"Say: ".as_ptr(),
            })
            .collect();
        let mut pointers: Vec<*const Message> = messages.iter().map(ptr::from_ref).collect();
        let mut responses = ptr::null_mut();
        let count = c_int::try_from(styles.len()).expect("few");
        let data = ptr::from_ref(&said).cast_mut().cast();
        // SAFETY: the pointers are to what is above; the responses are from
        // `calloc` and freed once.
        unsafe {
            let status = converse(count, pointers.as_mut_ptr(), &raw mut responses, data);
            if status != SUCCESS {
                assert!(responses.is_null());
                return Err(status);
            }
            let text = |at: usize| {
                let text = (*responses.add(at)).text;
                (!text.is_null()).then(|| CStr::from_ptr(text).to_str().expect("text").to_owned())
            };
            let texts = (0..styles.len()).map(text).collect();
            forget(responses, styles.len());
            Ok(texts)
        }
    }

    #[test]
    fn modules_are_told_name_and_password_and_nothing_else() {
        let own = |text: &str| Some(text.to_owned());
        assert_eq!(ask(&[1]), Ok(vec![own("pässword")]));
        assert_eq!(
            ask(&[4, 2, 3, 1]),
            Ok(vec![None, own("alice"), None, own("pässword")])
        );
        for unknown in [0, 5, 7, -1] {
            assert_eq!(ask(&[1, unknown]), Err(CONV_ERR), "{unknown}");
        }
        assert_eq!(ask(&[]), Err(CONV_ERR));
        assert_eq!(ask(&[4; 32]).map(|texts| texts.len()), Ok(32));
        assert_eq!(ask(&[4; 33]), Err(CONV_ERR));
    }

    #[test]
    fn a_zero_octet_is_not_said() {
        assert!(Said::new("alice", "a\0b").is_none());
        assert!(Said::new("al\0ice", "a").is_none());
        let said = Said::new("alice", "ab").expect("no zero octet");
        assert_eq!(*said.password, b"ab\0");
        assert_eq!(said.password.capacity(), 3);
    }

    #[test]
    fn a_library_that_is_not_there_is_an_error() {
        assert!(PamLibrary::open("libpam-of-nobody.so.0").is_err());
        // One that is there, and is not PAM.
        assert!(PamLibrary::open("libc.so.6").is_err());
    }
}
