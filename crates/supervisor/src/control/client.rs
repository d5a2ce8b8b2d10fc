//! Asks at the socket. It blocks: whoever asks has nothing else to do.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use spec::notes::{Code, Fault};

use super::protocol::{Answer, Message, Refused, Request, VERSION};
use crate::codes;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error("no supervisor is listening at `{}`", path.display())]
    Nobody {
        /// The socket.
        path: PathBuf,
    },
    /// More than one listens, and none was named.
    #[error("{} supervisors are listening", paths.len())]
    Several {
        /// Their sockets.
        paths: Vec<PathBuf>,
    },
    /// The system refuses.
    #[error("the supervisor at `{}` cannot be asked", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// It went away in the middle.
    #[error("the supervisor went away before it had answered")]
    Cut,
    /// It speaks another language.
    #[error("the answer of the supervisor was not understood: {why}")]
    NotUnderstood {
        /// What is wrong with it.
        why: String,
    },
}

impl Fault for ClientError {
    fn code(&self) -> Code {
        match self {
            Self::Nobody { .. } | Self::Several { .. } => codes::NOBODY,
            Self::Io { .. } => codes::SOCKET,
            Self::Cut => codes::STOPPING,
            Self::NotUnderstood { .. } => codes::NOT_UNDERSTOOD,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Nobody { .. } => "start a machine with `roster run`, or its processes alone with \
`roster up`; or name its socket with `--socket` or `ROSTER_SOCKET`"
                .into(),
            Self::Several { paths } => {
                let paths: Vec<String> =
                    paths.iter().map(|it| format!("`--socket {}`", it.display())).collect();
                format!("say which: {}", paths.join(" or "))
            }
            Self::Io { error, .. } => {
                format!("the system says: {error}; ask as the supervisor's user, or as root")
            }
            Self::Cut => "start it again: `roster up`".into(),
            Self::NotUnderstood { .. } => "ask with the `roster` that the supervisor runs from".into(),
        }
    }
}

/// A supervisor that listens.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
}

impl Client {
    /// The supervisor that listens at `path`.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let path = path.to_owned();
        match UnixStream::connect(&path) {
            Ok(stream) => Ok(Self { stream, path }),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                    Err(ClientError::Nobody { path })
                }
                _ => Err(ClientError::Io { path, error }),
            },
        }
    }

    /// Asks one thing.
    pub fn ask(self, request: Request) -> Result<Answers, ClientError> {
        let failed = |error| ClientError::Io { path: self.path.clone(), error };
        let mut line =
            serde_json::to_vec(&Message { version: VERSION, request }).map_err(|it| failed(it.into()))?;
        line.push(b'\n');
        (&self.stream).write_all(&line).map_err(failed)?;
        Ok(Answers { lines: BufReader::new(self.stream), ended: false })
    }
}

/// The answers to one request, as they come.
#[derive(Debug)]
pub struct Answers {
    lines: BufReader<UnixStream>,
    ended: bool,
}

/// One of the answers, or why nothing was done.
type Next = Result<Result<Answer, Vec<Refused>>, ClientError>;

impl Iterator for Answers {
    type Item = Next;

    fn next(&mut self) -> Option<Next> {
        if self.ended {
            return None;
        }
        let mut line = Vec::new();
        let answer = match self.lines.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => {
                serde_json::from_slice(&line).map_err(|it| ClientError::NotUnderstood { why: it.to_string() })
            }
            _ => Err(ClientError::Cut),
        };
        self.ended = !matches!(answer, Ok(ref it) if *it != Answer::End);
        match answer {
            Ok(Answer::End) => None,
            Ok(Answer::Refused(it)) => Some(Ok(Err(it))),
            Ok(it) => Some(Ok(Ok(it))),
            Err(error) => Some(Err(error)),
        }
    }
}
