//! An upload folder: where it stands, and who may upload into it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::PathBuf;

use url::Url;

use crate::bits::Owner;
use crate::config::FilesSettings;
use crate::config::UploadFolder;
use crate::transfer::Failure;
use crate::transfer::Inbox;

/// An upload folder.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(super) settings: UploadFolder,
    pub(super) inbox: Inbox,
    /// Where the application behind is told.
    pub(super) notification_url: Option<Url>,
    names: BTreeSet<String>,
    realms: BTreeSet<String>,
}

/// Who uploads. Nothing is taken in without one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Uploader {
    /// An account that has logged on.
    Account(Owner),
    /// Anybody: only where the folder says so.
    Anonymous,
}

impl Folder {
    /// Opens the folder that `settings` describe.
    ///
    /// # Errors
    ///
    /// [`Failure`] that names what cannot be used.
    pub(super) fn open(
        settings: &UploadFolder,
        groups: &BTreeMap<String, Vec<String>>,
        files: &FilesSettings,
        protected: &[PathBuf],
    ) -> Result<Self, Failure> {
        let mut folder = Self {
            inbox: Inbox::new(&settings.folder, files, protected)?,
            notification_url: settings
                .notification_url
                .as_deref()
                .and_then(|url| Url::parse(url).ok()),
            settings: settings.clone(),
            names: BTreeSet::new(),
            realms: BTreeSet::new(),
        };
        for member in members(settings, groups) {
            match member.strip_prefix("*@") {
                Some(realm) => folder.realms.insert(realm.to_owned()),
                None => folder.names.insert(member.to_owned()),
            };
        }
        Ok(folder)
    }

    /// May anybody upload, without log-on?
    pub(crate) fn is_for_anybody(&self) -> bool {
        self.settings.anonymous
    }

    /// May `who` upload?
    pub(crate) fn admits(&self, who: &Uploader) -> bool {
        if self.settings.anonymous {
            return true;
        }
        let Uploader::Account(owner) = who else {
            return false;
        };
        let name = owner.as_str();
        let realm = name
            .rsplit_once('@')
            .filter(|(name, _)| !name.is_empty())
            .is_some_and(|(_, realm)| self.realms.contains(realm));
        realm || self.names.contains(name)
    }

    /// What follows the folder's path in the path of a URL, if it is below it.
    pub(super) fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.settings.path.as_str())?;
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Some(""),
            rest => rest,
        }
    }
}

/// The accounts, and `*@REALM`, that may upload into a folder; its groups are
/// taken apart.
pub(crate) fn members<'a>(
    settings: &'a UploadFolder,
    groups: &'a BTreeMap<String, Vec<String>>,
) -> Vec<&'a str> {
    let mut all = Vec::new();
    for user in &settings.users {
        match user.strip_prefix('@') {
            // Groups have no groups in them: the settings are checked.
            Some(group) => all.extend(groups.get(group).into_iter().flatten().map(String::as_str)),
            None => all.push(user.as_str()),
        }
    }
    all
}

impl Uploader {
    /// The account name; none for anybody.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Account(owner) => Some(owner.as_str()),
            Self::Anonymous => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(users: &[&str], anonymous: bool) -> (tempfile::TempDir, Folder) {
        let ground = tempfile::tempdir().expect("folder");
        let settings = UploadFolder {
            path: "/up/load".to_owned(),
            folder: ground.path().to_owned(),
            users: users.iter().map(|&user| user.to_owned()).collect(),
            anonymous,
            ..UploadFolder::default()
        };
        let groups = BTreeMap::from([(
            "crew".to_owned(),
            vec!["bob".to_owned(), "*@EXAMPLE.ORG".to_owned()],
        )]);
        let files = FilesSettings::default();
        let folder = Folder::open(&settings, &groups, &files, &[]).expect("usable");
        (ground, folder)
    }

    fn account(name: &str) -> Uploader {
        Uploader::Account(Owner::new(name))
    }

    #[test]
    fn those_are_admitted_whom_the_folder_names() {
        let (_ground, folder) = folder(&["alice", "@crew"], false);
        for name in ["alice", "bob", "host/x@EXAMPLE.ORG"] {
            assert!(folder.admits(&account(name)), "{name}");
        }
        for name in ["carol", "Alice", "@crew", "x@example.org", "@EXAMPLE.ORG"] {
            assert!(!folder.admits(&account(name)), "{name}");
        }
        assert!(!folder.admits(&Uploader::Anonymous));
    }

    #[test]
    fn a_folder_for_anybody_admits_anybody() {
        let (_ground, folder) = folder(&[], true);
        assert!(folder.admits(&account("carol")));
        assert!(folder.admits(&Uploader::Anonymous));
    }

    #[test]
    fn what_is_below_the_folder_is_so_by_whole_names() {
        let (_ground, folder) = folder(&["alice"], false);
        assert_eq!(folder.rest("/up/load/a/b"), Some("a/b"));
        assert_eq!(folder.rest("/up/load"), Some(""));
        assert_eq!(folder.rest("/up/loads/a"), None);
        assert_eq!(folder.rest("/up"), None);
    }
}
