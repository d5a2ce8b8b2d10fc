//! The socket as a file: one supervisor has it, a dead one's is replaced, and nobody but its user may use it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use spec::notes::{Code, Fault};
use tokio::net::UnixListener;

use crate::codes;

/// Bytes of a path that the kernel takes (`unix(7)`: 108 with the NUL at its end).
const PATH_BYTES: usize = 107;

/// Why a socket cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another supervisor has it.
    #[error("a supervisor is running already, as pid {pid}, at `{}`", path.display())]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
        /// Its process, as a text: a file says so.
        pid: String,
    },
    /// Something else is there.
    #[error("`{}` is there and is no socket", path.display())]
    NoSocket {
        /// What is there.
        path: PathBuf,
    },
    /// The kernel takes no such path.
    #[error("the path of the socket has more than {PATH_BYTES} bytes: `{}`", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("the socket `{}` cannot be made", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
}

impl Fault for SocketError {
    fn code(&self) -> Code {
        match self {
            Self::AlreadyRunning { .. } => codes::ALREADY_RUNNING,
            Self::NoSocket { .. } | Self::TooLong { .. } | Self::Io { .. } => codes::SOCKET,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::AlreadyRunning { pid, .. } => {
                format!("use that one (`roster ps`, `roster reload`), or stop it first: `kill {pid}`")
            }
            Self::NoSocket { .. } | Self::TooLong { .. } => {
                "choose another path with `--socket` or `ROSTER_SOCKET`".into()
            }
            Self::Io { error, .. } => {
                format!("the system says: {error}; choose another path with `--socket` or `ROSTER_SOCKET`")
            }
        }
    }
}

/// A socket that this process listens on. It is gone when this is dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    pub(super) listener: UnixListener,
    /// Locked for as long as we live, however we end.
    _lock: File,
}

impl Socket {
    /// Listens at `path`, in a folder that is made where it is not there, for its user alone. Call it within a Tokio
    /// runtime with IO.
    pub fn listen(path: &Path) -> Result<Self, SocketError> {
        if path.as_os_str().len() > PATH_BYTES {
            return Err(SocketError::TooLong { path: path.to_owned() });
        }
        let failed = |error| SocketError::Io { path: path.to_owned(), error };
        if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty() && !it.exists()) {
            fs::create_dir_all(folder).map_err(failed)?;
            fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let mut lock = open_lock(path).map_err(failed)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            lock.read_to_string(&mut pid).map_err(failed)?;
            return Err(SocketError::AlreadyRunning { path: path.to_owned(), pid: pid.trim().to_owned() });
        }
        // Whoever was here before is dead, or its lock would be there.
        match fs::symlink_metadata(path) {
            Ok(it) if it.file_type().is_socket() => fs::remove_file(path).map_err(failed)?,
            Ok(_) => return Err(SocketError::NoSocket { path: path.to_owned() }),
            Err(_) => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
        lock.set_len(0).and_then(|()| lock.rewind()).map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), listener, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a supervisor listens at `path` now.
    pub fn is_live(path: &Path) -> bool {
        std::os::unix::net::UnixStream::connect(path).is_ok()
    }
}

/// Beside the socket: a socket itself cannot be locked. The file stays, or two could hold locks on two of one name.
fn open_lock(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(name)
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The next one would replace it.
        let _ = fs::remove_file(&self.path);
    }
}
