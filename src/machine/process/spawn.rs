//! Starting a program by `posix_spawn`, with an environment that is pointed to and not copied.
//!
//! The standard library would do the same with a map of all variables, three more descriptors, and, in a
//! static program, a copy of our page tables (it finds `addchdir_np` only where it is linked dynamically).
//! A member that takes a millisecond feels each of these.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;

use super::Job;

unsafe extern "C" {
    /// Our own environment: `NAME=value`, a null pointer last. Nothing in this crate changes it.
    static environ: *const *const libc::c_char;
}

/// Start `job` as the leader of a group of its own: no input, output and errors to these files, signals as a
/// program expects them.
///
/// # Errors
/// What the system says: the folder cannot be entered, the program not found or not executable.
pub(super) fn start(job: &Job<'_>, stdout: &File, stderr: &File) -> io::Result<libc::pid_t> {
    let program = c_string(job.program.as_os_str())?;
    let arguments = job.args.iter().map(|arg| c_string(arg)).collect::<io::Result<Vec<_>>>()?;
    let argv: Vec<_> = std::iter::once(&program).chain(&arguments).map(|a| a.as_ptr()).collect();
    let own = job.env.iter().map(|(name, value)| variable(name, value)).collect::<io::Result<Vec<_>>>()?;
    let envp = environment(job, &own);
    let actions = Actions::new(job, stdout, stderr)?;
    let attributes = Attributes::new()?;
    let mut pid = 0;
    // SAFETY: strings and tables live through the call, and each table ends with a null pointer.
    let error = unsafe {
        libc::posix_spawnp(
            &raw mut pid,
            program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            ended(argv).as_ptr(),
            envp.as_ptr(),
        )
    };
    success(error).map(|()| pid)
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a word of the command holds a zero byte"))
}

fn variable(name: &OsStr, value: &OsStr) -> io::Result<CString> {
    let mut text = Vec::with_capacity(name.len() + value.len() + 2);
    text.extend_from_slice(name.as_bytes());
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    CString::new(text)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a variable holds a zero byte"))
}

/// A table of pointers as C wants it, mutable in name only.
fn ended(table: Vec<*const libc::c_char>) -> Vec<*mut libc::c_char> {
    table.into_iter().chain([std::ptr::null()]).map(<*const libc::c_char>::cast_mut).collect()
}

/// Our environment without what the job replaces or does not want, then what it adds.
fn environment(job: &Job<'_>, own: &[CString]) -> Vec<*mut libc::c_char> {
    let mut table = Vec::with_capacity(128);
    // SAFETY: the table of the process ends with a null pointer, each entry is a C string, and nobody changes either.
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            let entry = std::ffi::CStr::from_ptr(*at).to_bytes();
            let name = entry.split(|&b| b == b'=').next().unwrap_or(entry);
            if !(job.without)(name) && !job.env.iter().any(|(n, _)| n.as_bytes() == name) {
                table.push(*at);
            }
            at = at.add(1);
        }
    }
    table.extend(own.iter().map(|entry| entry.as_ptr()));
    ended(table)
}

fn success(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// What happens in the child before it becomes the program.
struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new(job: &Job<'_>, stdout: &File, stderr: &File) -> io::Result<Self> {
        let mut raw = MaybeUninit::uninit();
        let folder = c_string(job.folder.as_os_str())?;
        // SAFETY: the call makes the value; it is ours from then on, and freed by `drop`.
        let mut actions = unsafe {
            success(libc::posix_spawn_file_actions_init(raw.as_mut_ptr()))?;
            Self(raw.assume_init())
        };
        let to = &raw mut actions.0;
        // SAFETY: made above; names are copied.
        unsafe {
            let null = c"/dev/null".as_ptr();
            success(libc::posix_spawn_file_actions_addopen(to, 0, null, libc::O_RDONLY, 0))?;
            success(libc::posix_spawn_file_actions_adddup2(to, stdout.as_raw_fd(), 1))?;
            success(libc::posix_spawn_file_actions_adddup2(to, stderr.as_raw_fd(), 2))?;
            success(libc::posix_spawn_file_actions_addchdir_np(to, folder.as_ptr()))?;
        }
        Ok(actions)
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: made by `new`, not used afterwards.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

/// How the child differs from us: its own group, no blocked signal, a broken pipe ends it.
struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let (mut raw, mut none, mut pipe) =
            (MaybeUninit::uninit(), MaybeUninit::uninit(), MaybeUninit::uninit());
        let flags = libc::POSIX_SPAWN_SETPGROUP | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        // SAFETY: each value is made by its first call; the attributes are ours then, and freed by `drop`.
        unsafe {
            success(libc::posix_spawnattr_init(raw.as_mut_ptr()))?;
            let mut attributes = Self(raw.assume_init());
            let to = &raw mut attributes.0;
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigemptyset(pipe.as_mut_ptr());
            libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
            success(libc::posix_spawnattr_setflags(to, flags as libc::c_short))?;
            success(libc::posix_spawnattr_setpgroup(to, 0))?;
            success(libc::posix_spawnattr_setsigmask(to, none.as_ptr()))?;
            success(libc::posix_spawnattr_setsigdefault(to, pipe.as_ptr()))?;
            Ok(attributes)
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: made by `new`, not used afterwards.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}
