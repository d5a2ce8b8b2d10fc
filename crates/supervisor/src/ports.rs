//! Who listens on a port: a process whose port another one has would fail to start over and over, and say it in its log
//! at best.

use std::fmt::{Display, Formatter};
use std::fs;

use crate::proc;

/// A port that is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InUse {
    pub port: u16,
    /// The process that listens on it: its number and its name. Those of other users cannot be seen.
    by: Option<(i32, String)>,
}

impl Display for InUse {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "its port {} is in use by ", self.port)?;
        match &self.by {
            Some((pid, name)) => write!(f, "pid {pid} ({name})"),
            None => f.write_str("a process that cannot be seen from here"),
        }
    }
}

/// The first of `ports` that somebody listens on.
pub(crate) fn in_use(ports: &[u16]) -> Option<InUse> {
    if ports.is_empty() {
        return None;
    }
    let tables =
        ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|it| fs::read_to_string(it).unwrap_or_default());
    let listeners: Vec<(u16, &str)> = tables.iter().flat_map(|it| it.lines()).filter_map(listener).collect();
    let (port, inode) = listeners.into_iter().find(|(port, _)| ports.contains(port))?;
    let socket = format!("socket:[{inode}]");
    let by = proc::all().into_iter().find(|pid| has_open(*pid, &socket));
    let name = |pid| proc::name(pid).unwrap_or_default();
    Some(InUse { port, by: by.map(|pid| (pid, name(pid))) })
}

/// A line of the table, if it is of a socket that listens: its port, and the number of its file (`proc_net_tcp.rst`).
fn listener(line: &str) -> Option<(u16, &str)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, port) = fields.get(1)?.rsplit_once(':')?;
    let listens = *fields.get(3)? == "0A";
    Some((u16::from_str_radix(port, 16).ok().filter(|_| listens)?, fields.get(9)?))
}

fn has_open(pid: i32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    files.filter_map(|it| fs::read_link(it.path()).ok()).any(|it| it.as_os_str() == socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn who_listens_is_named_and_who_only_did_is_not() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            // A machine may have no IPv6.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().unwrap().port();
            let found = in_use(&[1, port]).unwrap();
            assert_eq!(found.port, port);
            assert_eq!(found.by.as_ref().unwrap().0, i32::try_from(std::process::id()).unwrap());
            assert!(found.to_string().contains(&format!("pid {}", std::process::id())), "{found}");
            drop(listener);
            assert_eq!(in_use(&[port]), None);
        }
    }
}
