//! Names of users and groups, as `/etc/passwd` and `/etc/group` say. Containers have nothing else.

use std::fs;

use rustix::process::{Gid, Uid};

use crate::spawn::Identity;

/// The two files.
pub(crate) struct Users {
    passwd: String,
    group: String,
}

impl Users {
    /// Those of this system. What cannot be read names nobody; numbers need no file.
    pub(crate) fn read() -> Self {
        let text =
            |path| fs::read(path).map(|it| String::from_utf8_lossy(&it).into_owned()).unwrap_or_default();
        Self { passwd: text("/etc/passwd"), group: text("/etc/group") }
    }

    /// Who a process runs as that is to run as `user`, `group` or both. Fails with what is wrong, in words.
    pub(crate) fn identity(
        &self,
        user: Option<&str>,
        group: Option<&str>,
    ) -> Result<Option<Identity>, String> {
        let group = group.map(|it| self.group(it)).transpose()?;
        let Some(user) = user else {
            return Ok(group.map(|group| Identity { user: None, group, groups: vec![group] }));
        };
        // `passwd(5)`: name, password, number, number of its group.
        let entry = |it: &&Vec<&str>| it.first() == Some(&user) || it.get(2) == Some(&user);
        let entries = fields(&self.passwd);
        let entry = entries.iter().find(entry);
        let number = entry.and_then(|it| it.get(2)?.parse().ok()).or_else(|| user.parse().ok());
        let number: u32 = number.ok_or_else(|| format!("its user `{user}` is not in /etc/passwd"))?;
        let first = group.or_else(|| entry.and_then(|it| Some(Gid::from_raw(it.get(3)?.parse().ok()?))));
        let Some(first) = first else {
            return Err(format!("its user {number} is not in /etc/passwd: say its `group` as well"));
        };
        let mut groups = vec![first];
        if let Some(name) = entry.and_then(|it| it.first()) {
            // `group(5)`: name, password, number, members.
            let member = |it: &&Vec<&str>| it.get(3).is_some_and(|all| all.split(',').any(|it| it == *name));
            let others = fields(&self.group);
            let others = others.iter().filter(member).filter_map(|it| it.get(2)?.parse().ok());
            groups.extend(others.map(Gid::from_raw).filter(|it| *it != first));
        }
        Ok(Some(Identity { user: Some(Uid::from_raw(number)), group: first, groups }))
    }

    fn group(&self, group: &str) -> Result<Gid, String> {
        let entries = fields(&self.group);
        let entry = entries.iter().find(|it| it.first() == Some(&group)).and_then(|it| it.get(2).copied());
        let number = entry.unwrap_or(group).parse().ok();
        number.map(Gid::from_raw).ok_or_else(|| format!("its group `{group}` is not in /etc/group"))
    }
}

fn fields(file: &str) -> Vec<Vec<&str>> {
    file.lines().map(|it| it.split(':').collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_brings_its_groups_and_a_number_needs_no_file() {
        let users = Users {
            passwd: "root:x:0:0:root:/root:/bin/sh\nada:x:1000:100:Ada:/srv/ada:/bin/sh\n".into(),
            group: "users:x:100:\nvideo:x:44:bob,ada\nrender:x:105:ada\nroot:x:0:\n".into(),
        };
        let show = |user, group| match users.identity(user, group) {
            Ok(None) => "nobody else".to_owned(),
            Ok(Some(it)) => {
                let groups: Vec<_> = it.groups.iter().map(|it| it.as_raw()).collect();
                format!("{:?} in {groups:?}", it.user.map(Uid::as_raw))
            }
            Err(why) => why,
        };
        let cases = [
            (None, None),
            (Some("ada"), None),
            (Some("1000"), None),
            (Some("ada"), Some("video")),
            (None, Some("video")),
            (Some("4321"), Some("4322")),
            (Some("4321"), None),
            (Some("eve"), None),
            (Some("ada"), Some("wheel")),
        ];
        insta::assert_snapshot!(cases.map(|(user, group)| show(user, group)).join("\n"), @r"
        nobody else
        Some(1000) in [100, 44, 105]
        Some(1000) in [100, 44, 105]
        Some(1000) in [44, 105]
        None in [44]
        Some(4321) in [4322]
        its user 4321 is not in /etc/passwd: say its `group` as well
        its user `eve` is not in /etc/passwd
        its group `wheel` is not in /etc/group
        ");
    }
}
