//! Git, by its own program: shallow, without hooks, without questions, and by no other scheme than the address has.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use spec::env::Secret;

use crate::fault::InstallFault;
use crate::manifest::Revision;
use crate::names::{Commit, GitUrl};
use crate::programs::{Call, Programs};

/// For one call.
const LIMIT: Duration = Duration::from_mins(30);

/// Git for one repository.
pub(crate) struct Git<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) url: &'a GitUrl,
    pub(crate) token: Option<&'a Secret<String>>,
}

impl Git<'_> {
    /// A checkout of a revision in a folder that does not exist yet, and its commit.
    pub(crate) async fn checkout(
        &self,
        revision: &Revision,
        recursive: bool,
        folder: &Path,
    ) -> Result<Commit, InstallFault> {
        let (url, path) = (self.url.as_str(), folder.display().to_string());
        match revision {
            Revision::Commit(commit) => {
                self.git(&["init", "--quiet", "--template=", "--", &path], Path::new("/")).await?;
                self.git(&["remote", "add", "--", "origin", url], folder).await?;
                let shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", "origin", commit.as_str()];
                if self.git(&shallow, folder).await.is_err() {
                    // A host that gives no commit by its name: everything, then.
                    self.git(&["fetch", "--quiet", "--tags", "--", "origin"], folder).await?;
                }
                self.git(&["checkout", "--quiet", "--detach", commit.as_str(), "--"], folder).await?;
                if recursive {
                    let all = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
                    self.git(&all, folder).await?;
                }
            }
            Revision::Head | Revision::Branch(_) => {
                let mut words = vec!["clone", "--quiet", "--depth=1", "--no-tags", "--template="];
                if recursive {
                    words.extend(["--recurse-submodules", "--shallow-submodules"]);
                }
                if let Revision::Branch(branch) = revision {
                    words.extend(["--branch", branch.as_str()]);
                }
                words.extend(["--", url, &path]);
                self.git(&words, Path::new("/")).await?;
            }
        }
        let commit = if let Some(it) = head(folder) {
            it
        } else {
            let said = self.git(&["rev-parse", "HEAD"], folder).await?;
            said.trim().parse().map_err(|_| self.failed("it has no commit"))?
        };
        match revision {
            Revision::Commit(wanted) if *wanted != commit => {
                Err(self.failed("another commit was checked out"))
            }
            _ => Ok(commit),
        }
    }

    /// The commit that a revision is at now, without fetching it.
    pub(crate) async fn resolve(&self, revision: &Revision) -> Result<Commit, InstallFault> {
        let name = match revision {
            Revision::Commit(commit) => return Ok(commit.clone()),
            Revision::Head => "HEAD".to_owned(),
            Revision::Branch(branch) => branch.to_string(),
        };
        let (head, tag) = (format!("refs/heads/{name}"), format!("refs/tags/{name}"));
        let peeled = format!("{tag}^{{}}");
        let words = match revision {
            Revision::Head => vec!["ls-remote", "--", self.url.as_str(), "HEAD"],
            _ => vec!["ls-remote", "--", self.url.as_str(), &head, &tag, &peeled],
        };
        let said = self.git(&words, Path::new("/")).await?;
        let of = |wanted: &str| {
            let mut lines = said.lines().filter_map(|it| it.split_once('\t'));
            lines.find(|(_, it)| *it == wanted).and_then(|(commit, _)| commit.parse().ok())
        };
        // As `git clone --branch` chooses; a tag of its own stands for the commit that it names.
        [name.as_str(), &head, &peeled, &tag]
            .into_iter()
            .find_map(of)
            .ok_or_else(|| self.failed("it has no such branch or tag"))
    }

    fn failed(&self, why: &str) -> InstallFault {
        InstallFault::Fetch { what: self.url.to_string(), why: why.to_owned() }
    }

    async fn git(&self, words: &[&str], folder: &Path) -> Result<String, InstallFault> {
        let args = words.iter().map(|it| (*it).to_owned()).collect();
        let call = Call { program: "git", args, folder, env: self.environment(), limit: LIMIT };
        self.programs.run(call).await
    }

    /// A token travels here: arguments can be read by every user of the machine.
    fn environment(&self) -> Vec<(String, Secret<String>)> {
        let scheme = self.url.scheme();
        // Submodules may come over TLS too, and over nothing else.
        let schemes = if scheme == "https" { "https".to_owned() } else { format!("{scheme}:https") };
        let mut settings = vec![
            ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
            ("core.fsmonitor".to_owned(), "false".to_owned()),
            ("protocol.ext.allow".to_owned(), "never".to_owned()),
            ("advice.detachedHead".to_owned(), "false".to_owned()),
            ("gc.auto".to_owned(), "0".to_owned()),
            ("maintenance.auto".to_owned(), "false".to_owned()),
        ];
        if let (Some((_, host)), Some(token)) = (self.url.tls_host(), self.token) {
            settings.push((
                format!("http.{host}.extraHeader"),
                format!(
                    "Authorization: Basic {}",
                    BASE64_STANDARD.encode(format!("x-access-token:{}", token.expose()))
                ),
            ));
        }
        let mut env = vec![
            ("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned()),
            ("GIT_ASKPASS".to_owned(), "true".to_owned()),
            ("GIT_SSH_COMMAND".to_owned(), "ssh -oBatchMode=yes".to_owned()),
            ("GIT_ALLOW_PROTOCOL".to_owned(), schemes),
            ("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string()),
        ];
        for (at, (key, value)) in settings.into_iter().enumerate() {
            env.extend([(format!("GIT_CONFIG_KEY_{at}"), key), (format!("GIT_CONFIG_VALUE_{at}"), value)]);
        }
        env.into_iter().map(|(key, value)| (key, Secret::new(value))).collect()
    }
}

/// The commit of a checkout, read from its files as `gitrepository-layout(5)` has them.
pub(crate) fn head(folder: &Path) -> Option<Commit> {
    let read = |name: &str| std::fs::read_to_string(folder.join(".git").join(name)).ok();
    let head = read("HEAD")?;
    let Some(reference) = head.trim().strip_prefix("ref: ") else { return head.trim().parse().ok() };
    if let Some(commit) = read(reference) {
        return commit.trim().parse().ok();
    }
    let packed = read("packed-refs")?;
    let line = packed.lines().find_map(|it| it.strip_suffix(reference)?.strip_suffix(' '))?;
    line.parse().ok()
}
