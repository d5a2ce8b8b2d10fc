//! The one module with `unsafe`: how a child is made, what it does before it becomes its program, the wait for the end of
//! a process that is no child, and memory that is given back.
//!
//! A child borrows our memory until it is its program (`CLONE_VM` with `CLONE_VFORK`, what `posix_spawn` does): a fork
//! would copy our page tables for it, and each of our pages again when it is next written to. The thread that makes it
//! waits; no other does, so that many start side by side (`starter`). One that becomes another user, or is born in a
//! control group, is forked: while it has our memory, that user could look into it.
//!
//! Before it is its program, a child may only make system calls (`signal-safety(7)`): another thread may hold any lock,
//! the allocator's included. So everything is put together before, and nothing in [`become_program`] allocates, locks or
//! panics. `rustix` makes its calls without the C library.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getppid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::recipe::{Failure, Stage};

/// `clone(2)`; the constant of `libc` is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// What a child becomes. Every text is ready for the kernel; some are secrets, so nobody prints this.
pub(crate) struct Recipe {
    /// Paths to try, one after the other.
    pub programs: Vec<CString>,
    pub arguments: Vec<CString>,
    /// `NAME=value`.
    pub environment: Vec<CString>,
    pub cwd: CString,
    pub identity: Option<Identity>,
    pub umask: Option<Mode>,
    pub limits: Vec<(Resource, Rlimit)>,
    /// In decimal.
    pub oom_score_adj: Option<String>,
    /// It is not killed when the thread that starts it ends.
    pub survive: bool,
}

/// Who a child runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `None`: it stays who it is, and only its group changes.
    pub user: Option<rustix::process::Uid>,
    pub group: rustix::process::Gid,
    pub groups: Vec<rustix::process::Gid>,
}

/// The open files of a child. All are above 2 and closed on exec.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wires<'a> {
    pub out: BorrowedFd<'a>,
    pub err: BorrowedFd<'a>,
    /// The folder of its control group.
    pub cgroup: Option<BorrowedFd<'a>>,
}

/// What a child runs on while it has our memory. It has four pages of system calls to make, and no frame of it is large.
pub(crate) struct Stack(Box<[MaybeUninit<u128>]>);

impl Stack {
    const BYTES: usize = 64 << 10;

    pub(crate) fn new() -> Self {
        Self(Box::new_uninit_slice(Self::BYTES / size_of::<u128>()))
    }
}

/// Blocks every signal in the calling thread. Children are made by such a thread: what is sent to one before it is
/// its program waits, instead of running the supervisor's own handlers in it.
pub(crate) fn block_signals() -> io::Result<()> {
    mask(libc::SIG_SETMASK, true).map_err(Into::into)
}

fn mask(how: i32, full: bool) -> Result<(), Errno> {
    // SAFETY: a signal set is plain data, for which zeros are a value; both calls write or read only that set.
    let failed = unsafe {
        let mut set = std::mem::zeroed();
        if full {
            libc::sigfillset(&raw mut set);
        }
        libc::pthread_sigmask(how, &raw const set, ptr::null_mut())
    };
    if failed == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(failed)) }
}

/// What a child has to know, and where it says why it could not become its program.
struct Birth<'a> {
    recipe: &'a Recipe,
    wires: Wires<'a>,
    parent: Pid,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    failure: Option<Failure>,
}

/// Makes a child that becomes what `recipe` says, in a session of its own, and waits until it has; or what kept it from
/// that. Called from a thread that lives as long as its children shall, with every signal blocked.
pub(crate) fn spawn(
    recipe: &Recipe,
    wires: Wires<'_>,
    stack: &mut Stack,
) -> io::Result<Result<Pid, Failure>> {
    let pointers =
        |all: &[CString]| all.iter().map(|it| it.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
    let (arguments, environment) = (pointers(&recipe.arguments), pointers(&recipe.environment));
    let birth = Birth { recipe, wires, parent: getpid(), arguments, environment, failure: None };
    if wires.cgroup.is_some() || recipe.identity.is_some() {
        return spawn_apart(birth);
    }
    lend(birth, stack)
}

/// The child has our memory until it is its program or has ended.
fn lend(mut birth: Birth<'_>, stack: &mut Stack) -> io::Result<Result<Pid, Failure>> {
    extern "C" fn child(birth: *mut c_void) -> c_int {
        // SAFETY: it is the `birth` below, whose owner waits for as long as this runs.
        let birth = unsafe { &mut *birth.cast::<Birth<'_>>() };
        let Err(failure) = become_program(birth);
        birth.failure = Some(failure);
        127
    }
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack grows down from its end, is aligned as every processor wants it, and nobody else's for as long
    // as the call lasts, which is until the child does not need it any more. Signals are blocked, so that no handler
    // runs in the child.
    let child = unsafe {
        let top = stack.0.as_mut_ptr_range().end;
        libc::clone(child, top.cast(), flags, (&raw mut birth).cast())
    };
    let pid = Pid::from_raw(child).filter(|_| child > 0).ok_or_else(io::Error::last_os_error)?;
    Ok(birth.failure.map_or(Ok(pid), Err))
}

/// The child has a copy of our memory. It reports through a pipe that its exec closes.
fn spawn_apart(mut birth: Birth<'_>) -> io::Result<Result<Pid, Failure>> {
    let (mut reports, report) = io::pipe()?;
    // SAFETY: the child does what `become_program` does, which is allowed after a fork, and then ends.
    let (child, joined) = unsafe { fork(birth.wires.cgroup) };
    if child == 0 {
        birth.wires.cgroup = birth.wires.cgroup.filter(|_| !joined);
        let Err(failure) = become_program(&birth);
        // Nobody else can be told if this fails too.
        let _ = rustix::io::write(&report, &failure.to_bytes());
        // SAFETY: ends the process without running anything that was registered for its end.
        unsafe { libc::_exit(127) }
    }
    let pid = Pid::from_raw(child).filter(|_| child > 0).ok_or_else(io::Error::last_os_error)?;
    drop(report);
    let mut said = Vec::new();
    reports.read_to_end(&mut said)?;
    Ok(Failure::read(&said).map_or(Ok(pid), Err))
}

/// A fork, and whether the child is in `cgroup` already. A child that moves there itself waits until every processor has
/// noticed, which takes a millisecond, one child after the other; one that is born there does not. Seccomp profiles from
/// before 2021 refuse that call.
///
/// # Safety
/// The child may make system calls only.
unsafe fn fork(cgroup: Option<BorrowedFd<'_>>) -> (libc::pid_t, bool) {
    if let Some(cgroup) = cgroup
        && let Ok(fd) = u64::try_from(cgroup.as_raw_fd())
    {
        // SAFETY: the arguments are plain data, for which zeros are a value. Without `CLONE_VM` and a stack the call is
        // a fork, but that the C library does not know of it: the child does not come back to what would mind.
        let child = unsafe {
            let mut arguments: libc::clone_args = std::mem::zeroed();
            arguments.flags = CLONE_INTO_CGROUP;
            arguments.exit_signal = libc::SIGCHLD.cast_unsigned().into();
            arguments.cgroup = fd;
            libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>())
        };
        if let Ok(child @ 0..) = libc::pid_t::try_from(child) {
            return (child, true);
        }
    }
    // SAFETY: as the caller says.
    (unsafe { libc::fork() }, false)
}

/// Runs in the child. The order matters: what needs the supervisor's rights comes before they are given up, and the
/// kernel forgets the death signal when they are.
fn become_program(birth: &Birth<'_>) -> Result<Infallible, Failure> {
    let Birth { recipe, wires, parent, arguments, environment, .. } = birth;
    let at = |stage| move |errno| Failure { stage, errno };
    default_signals();
    rustix::process::setsid().map_err(at(Stage::Session))?;
    if let Some(cgroup) = wires.cgroup {
        join(cgroup).map_err(at(Stage::Cgroup))?;
    }
    if let Some(score) = &recipe.oom_score_adj {
        put(c"/proc/self/oom_score_adj", score.as_bytes()).map_err(at(Stage::OomScore))?;
    }
    let null =
        open(c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(at(Stage::Output))?;
    // Nothing is opened from here on: what we have open is more than it may open.
    for (resource, limit) in &recipe.limits {
        rustix::process::setrlimit(*resource, *limit).map_err(at(Stage::Limits))?;
    }
    if let Some(identity) = &recipe.identity {
        become_user(identity).map_err(at(Stage::Identity))?;
    }
    if let Some(umask) = recipe.umask {
        rustix::process::umask(umask);
    }
    rustix::process::chdir(recipe.cwd.as_c_str()).map_err(at(Stage::Directory))?;
    rustix::stdio::dup2_stdin(&null).map_err(at(Stage::Output))?;
    rustix::stdio::dup2_stdout(wires.out).map_err(at(Stage::Output))?;
    rustix::stdio::dup2_stderr(wires.err).map_err(at(Stage::Output))?;
    close_the_rest();
    if !recipe.survive {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Stage::Parent))?;
        // It may have ended before the line above.
        if getppid() != Some(*parent) {
            return Err(Failure { stage: Stage::Parent, errno: Errno::SRCH });
        }
    }
    mask(libc::SIG_SETMASK, false).map_err(at(Stage::Session))?;
    let mut errno = Errno::NOENT;
    for program in &recipe.programs {
        match execute(program, arguments, environment) {
            // As `execvp(3)`: a program that may not be run is not the last word, and not forgotten.
            Errno::NOENT | Errno::NOTDIR => {}
            Errno::ACCESS => errno = Errno::ACCESS,
            other => return Err(Failure { stage: Stage::Program, errno: other }),
        }
    }
    Err(Failure { stage: Stage::Program, errno })
}

fn join(cgroup: BorrowedFd<'_>) -> Result<(), Errno> {
    let file = openat(cgroup, c"cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, b"0").map(drop)
}

fn become_user(identity: &Identity) -> Result<(), Errno> {
    set_thread_groups(&identity.groups)?;
    set_thread_gid(identity.group)?;
    identity.user.map_or(Ok(()), set_thread_uid)
}

fn put(path: &CStr, bytes: &[u8]) -> Result<(), Errno> {
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, bytes).map(drop)
}

/// What the supervisor, or who started it, ignores or handles has no meaning for the child.
fn default_signals() {
    for signal in 1..=64 {
        // SAFETY: sets a disposition that is no function. What has none (SIGKILL, SIGSTOP) stays as it is.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// What is open here and not ours to pass on. Kernels before 5.11 do not know the call: then what the supervisor opened
/// itself is closed on exec all the same, and what it was given was marked so when it began.
fn close_the_rest() {
    // SAFETY: only marks what is open above 2, to be closed on exec.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Returns only if it fails.
fn execute(program: &CStr, arguments: &[*const c_char], environment: &[*const c_char]) -> Errno {
    // SAFETY: the path and the texts end with 0 and both lists with a null pointer; all outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// A handle on a process, to be read once the process has ended.
pub(crate) fn end_of(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the handle owns its number, which stays the same and open for as long as it is registered.
    unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }.map_err(Into::into)
}

/// Unmaps the pages of a mapping that holds nothing but what is in its file, and that nobody can write to.
pub(crate) fn forget(mapping: Range<usize>) {
    let start = ptr::with_exposed_provenance_mut(mapping.start);
    // SAFETY: whoever reads there finds the same bytes, read from the file again (`madvise(2)`, `MADV_DONTNEED`). A
    // range that is mapped no more is an error and changes nothing.
    unsafe { libc::madvise(start, mapping.len(), libc::MADV_DONTNEED) };
}

/// Returns to the kernel what was freed.
pub(crate) fn trim() {
    // SAFETY: what is in use stays where it is (`malloc_trim(3)`).
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}
