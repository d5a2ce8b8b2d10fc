//! What comes from documents that others write, with one door each: past it nobody checks again. Nothing that passes can
//! leave its folder, be taken for an option, or hold a control character.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Why a text is not what it should be. The text is not repeated: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

fn refuse<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(why.into()))
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $check:path;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Refused;
            fn from_str(text: &str) -> Result<Self, Refused> {
                $check(text).map(|()| Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Refused;
            fn try_from(text: String) -> Result<Self, Refused> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(it: $name) -> String {
                it.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )*};
}

texts! {
    /// A custom node: the name of its folder.
    NodeName: part;
    /// Where something goes below a folder: one or more names with `/` between them.
    Inner: inner;
    /// A Git branch or tag.
    Branch: branch;
    /// A whole Git commit.
    Commit: commit;
    /// A SHA-256 in lower case.
    Sha256: sha256;
    /// The address of a Git repository.
    GitUrl: git_url;
}

/// The longest name of a file that every file system takes, in bytes.
const LONGEST: usize = 255;

fn part(text: &str) -> Result<(), Refused> {
    if text.is_empty() {
        return refuse("it is empty");
    }
    if let Some(found) = text.chars().find(|it| !(it.is_ascii_alphanumeric() || "._-+".contains(*it))) {
        return refuse(format!("{found:?} cannot be in it; use letters, digits and . _ - +"));
    }
    if !text.starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_') {
        return refuse("it begins with neither a letter, a digit nor _");
    }
    if text.contains("..") || text.ends_with('.') {
        return refuse("it has a dot beside a dot, or at its end");
    }
    if text.len() > LONGEST - 30 {
        return refuse("it is too long for the name of a file");
    }
    Ok(())
}

fn inner(text: &str) -> Result<(), Refused> {
    text.split('/').try_for_each(part)
}

/// What `git check-ref-format` allows, and of that what is harmless on a command line.
fn branch(text: &str) -> Result<(), Refused> {
    if text.is_empty() || text.len() > LONGEST {
        return refuse("it is empty or too long");
    }
    if let Some(found) = text.chars().find(|it| !(it.is_ascii_alphanumeric() || "._-+/#@=".contains(*it))) {
        return refuse(format!("{found:?} cannot be in it"));
    }
    let bad =
        |part: &str| part.is_empty() || part.starts_with(['.', '-']) || part.strip_suffix(".lock").is_some();
    if text.split('/').any(bad) || text.contains("..") || text.contains("@{") || text.ends_with('.') {
        return refuse("it is not the name of a branch");
    }
    Ok(())
}

fn commit(text: &str) -> Result<(), Refused> {
    if matches!(text.len(), 40 | 64) && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    refuse("it is not 40 or 64 hexadecimal digits in lower case")
}

fn sha256(text: &str) -> Result<(), Refused> {
    if text.len() == 64 && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(());
    }
    refuse("it is not 64 hexadecimal digits in lower case")
}

/// Printable ASCII without spaces and without what only a shell or an attacker would write.
fn plain(text: &str) -> Result<(), Refused> {
    if let Some(found) = text.chars().find(|it| !it.is_ascii_graphic() || "\"'`\\<>{}|^;".contains(*it)) {
        return refuse(format!("{found:?} cannot be in it"));
    }
    if text.split(['/', '\\']).any(|it| it == "..") {
        return refuse("it goes up with `..`");
    }
    Ok(())
}

fn git_url(text: &str) -> Result<(), Refused> {
    plain(text)?;
    if let Some((scheme, _)) = text.split_once("://") {
        let url = parsed(text)?;
        return match scheme {
            "https" | "ssh" => host(text, &url),
            "http" if is_here(&url) => Ok(()),
            "http" => refuse("its scheme is `http`, which anybody on the way can change; use `https`"),
            "file" if Path::new(url.path()).is_absolute() && url.host_str().is_none_or(str::is_empty) => {
                Ok(())
            }
            _ => refuse("its scheme is none of `https`, `ssh` and `file`"),
        };
    }
    // `git@github.com:owner/name.git`
    let Some((at, path)) = text.split_once(':') else {
        return refuse("it has no scheme; write `https://…`");
    };
    let (user, host) = at.split_once('@').unwrap_or(("", at));
    let word = |it: &str| {
        it.starts_with(|it: char| it.is_ascii_alphanumeric())
            && it.chars().all(|it| it.is_ascii_alphanumeric() || "._-".contains(it))
    };
    let sound = word(user) && word(host) && !path.is_empty() && !path.starts_with([':', '-']);
    if sound { Ok(()) } else { refuse("it is neither `https://…` nor `user@host:path`") }
}

fn parsed(text: &str) -> Result<Url, Refused> {
    Url::parse(text).map_err(|it| Refused(it.to_string()))
}

fn host(text: &str, url: &Url) -> Result<(), Refused> {
    // What is meant to be read as an address takes what follows for the host.
    if text.contains(":///") {
        return refuse("it has no host");
    }
    if url.password().is_some() {
        return refuse("it holds a password; name the variable of a token in `tokens` instead");
    }
    match url.host_str() {
        Some(host) if !host.is_empty() && !host.starts_with('-') => Ok(()),
        _ => refuse("it has no host"),
    }
}

/// Whether an address is on this very machine, where nobody is on the way.
pub(crate) fn is_here(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

/// The address of a file: `https`, or `http` on this machine.
pub fn file_url(text: &str) -> Result<Url, Refused> {
    plain(text)?;
    let url = parsed(text)?;
    host(text, &url)?;
    if !url.username().is_empty() {
        return refuse("it holds a user; name the variable of a token in `tokens` instead");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here(&url) => Ok(url),
        "http" => refuse("its scheme is `http`, which anybody on the way can read and change; use `https`"),
        _ => refuse("its scheme is not `https`"),
    }
}

impl GitUrl {
    /// The scheme by which Git is to speak, and it alone.
    pub(crate) fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("ssh", |(scheme, _)| scheme)
    }

    /// `github.com`, where a token may be sent to it: over TLS. And the address that all of the host begin with.
    pub(crate) fn tls_host(&self) -> Option<(String, String)> {
        let url = Url::parse(&self.0).ok().filter(|it| it.scheme() == "https")?;
        let host = url.host_str()?;
        let port = url.port().map(|it| format!(":{it}")).unwrap_or_default();
        Some((host.to_owned(), format!("https://{host}{port}/")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leaves_its_folder_in_no_way() {
        for good in ["ComfyUI-Manager", "rgthree_comfy", "v1.5", "a", "_x", "c++"] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in [
            "", ".", "..", ".git", "a/b", "../a", "a b", "a;b", "a\nb", "-rf", "a\0", "a..b", "a.", "ä",
            "$(x)", "a\\b", "~",
        ] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        assert!("checkpoints/sdxl".parse::<Inner>().is_ok());
        for bad in ["/etc", "a//b", "a/../b", "a/", "./a", "a/.ssh"] {
            assert!(bad.parse::<Inner>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_is_one_that_git_may_be_given() {
        for good in [
            "https://github.com/a/b.git",
            "https://user@host/a",
            "ssh://git@host/a",
            "git@github.com:a/b.git",
            "file:///srv/a",
            "http://127.0.0.1:80/a",
        ] {
            assert!(good.parse::<GitUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "--upload-pack=touch x",
            "ext::sh -c x",
            "ext::x",
            "fd::1",
            "https://h/a b",
            "https://h/a;b",
            "https://h/a\n",
            "https://h/../a",
            "http://example.com/a",
            "git://h/a",
            "https://u:p@h/a",
            "ssh://-oProxyCommand=x/a",
            "git@-h:a",
            "file://host/a",
            "/srv/a",
            "a",
            "https:///a",
            "git@h:-x",
        ] {
            assert!(bad.parse::<GitUrl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_of_a_file_is_over_tls_and_holds_no_password() {
        for good in ["https://h/a", "https://h:8/a?b=c", "http://localhost:1/a", "http://[::1]/a"] {
            assert!(file_url(good).is_ok(), "{good}");
        }
        for bad in ["http://h/a", "ftp://h/a", "https://u:p@h/a", "https://u@h/a", "a", "https://h/a\r\nX: y"]
        {
            assert!(file_url(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn branches_commits_and_sums_are_whole() {
        for good in ["main", "feature/x", "v1.2", "dependabot/npm@1"] {
            assert!(good.parse::<Branch>().is_ok(), "{good}");
        }
        for bad in ["", "-x", "a..b", "a b", "a@{1}", "a.lock", "a/", "/a", "a\n", ".a", "a~1", "a:b"] {
            assert!(bad.parse::<Branch>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(40).parse::<Commit>().is_ok() && "a".repeat(64).parse::<Sha256>().is_ok());
        for bad in ["", "abc123", "HEAD", &"A".repeat(40), &"g".repeat(40)] {
            assert!(bad.parse::<Commit>().is_err() && bad.parse::<Sha256>().is_err(), "{bad:?}");
        }
    }
}
