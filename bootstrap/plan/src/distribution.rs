//! What is known of each distribution: how it is recognised, how it installs a package, and how
//! the two agents come to it.

use crate::text::{has_word, leading_number, number, value_of};

/// A distribution that the bootstrap knows, with its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distribution {
    /// Whose it is.
    pub family: Family,
    /// Major release times 100 plus minor: 2204 for 22.04, 910 for 9.10, 200 for Amazon Linux 2.
    pub release: u32,
}

/// Distributions that behave alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Amazon Linux 2.
    AmazonLinux2,
    /// Amazon Linux 2023 and later.
    AmazonLinux2023,
    /// Ubuntu 20.04 and later.
    Ubuntu,
    /// Debian 12 and later.
    Debian,
    /// Red Hat Enterprise Linux 8 and later, and Rocky, Alma, Oracle, CentOS Stream.
    RedHat,
    /// SUSE Linux Enterprise Server 15 and later.
    Suse,
}

/// Package formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageKind {
    /// Debian's.
    Deb,
    /// Red Hat's.
    Rpm,
}

/// Package managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// `apt-get`
    Apt,
    /// `dnf`
    Dnf,
    /// `yum`
    Yum,
    /// `zypper`
    Zypper,
}

/// Processor architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86, which packages call `amd64`.
    X86_64,
    /// 64-bit Arm, which packages call `arm64`.
    Aarch64,
}

impl Distribution {
    /// Recognises a distribution by its `/etc/os-release` (os-release(5)); `None` for one that is
    /// not known or older than what is supported. A release newer than the newest known one is
    /// taken to behave like it.
    pub fn recognise(os_release: &[u8]) -> Option<Self> {
        let id = field(os_release, b"ID")?;
        let (major, rest) = leading_number(field(os_release, b"VERSION_ID")?)?;
        let minor = number(rest.get(1..).unwrap_or_default()).unwrap_or_default();
        let is_it = |known: &&Known| has_word(known.ids, id) && known.oldest <= major && major <= known.newest;
        let family = KNOWN.iter().find(is_it)?.family;
        // Whose numbers are too large for this is no release of anybody's.
        Some(Self { family, release: major.wrapping_mul(100).wrapping_add(minor) })
    }

    /// The package manager.
    pub fn manager(self) -> Manager {
        match self.family {
            Family::Ubuntu | Family::Debian => Manager::Apt,
            Family::AmazonLinux2 => Manager::Yum,
            Family::AmazonLinux2023 | Family::RedHat => Manager::Dnf,
            Family::Suse => Manager::Zypper,
        }
    }

    /// The format of its packages.
    pub fn package_kind(self) -> PackageKind {
        match self.family {
            Family::Ubuntu | Family::Debian => PackageKind::Deb,
            Family::AmazonLinux2 | Family::AmazonLinux2023 | Family::RedHat | Family::Suse => PackageKind::Rpm,
        }
    }

    /// Whether the SSM agent comes as a snap where snapd runs; its `.deb` refuses to be installed
    /// beside one.
    pub fn has_ssm_snap(self) -> bool {
        matches!(self.family, Family::Ubuntu)
    }

    /// Whether CodeDeploy agent 1.x can be installed: its `.deb` knows Ruby up to 3.2 only, which
    /// excludes Debian 13 and Ubuntu 26.04.
    pub fn takes_codedeploy_v1(self) -> bool {
        match self.family {
            Family::Ubuntu => self.release < 2500,
            Family::Debian => self.release < 1300,
            Family::AmazonLinux2 | Family::AmazonLinux2023 | Family::RedHat | Family::Suse => true,
        }
    }
}

impl Manager {
    /// The name of its program.
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Apt => b"apt-get",
            Self::Dnf => b"dnf",
            Self::Yum => b"yum",
            Self::Zypper => b"zypper",
        }
    }

    /// The shell's line that installs the package file `$0`. Digests have been checked before, so
    /// no signature is asked for. Each manager waits for its lock, zypper by [`COMMAND`]. When it
    /// fails, apt may have no lists yet, which is mended for the next try; the others want to reach
    /// all their repositories even for a package that needs nothing from them, which rpm does not.
    pub fn install(self) -> &'static [u8] {
        match self {
            Self::Apt => b"apt-get -yo DPkg::Lock::Timeout=-1 install $0 || { apt-get -q update; false; }",
            Self::Dnf => b"dnf -y --nogpgcheck install $0 || rpm -U --replacepkgs $0",
            Self::Yum => b"yum -y --nogpgcheck install $0 || rpm -U --replacepkgs $0",
            Self::Zypper => b"zypper -n --no-gpg-checks install $0 || rpm -U --replacepkgs $0",
        }
    }
}

/// How a line of the shell, `$2`, with its argument `$3`, becomes a command, each argument of which
/// ends in NUL. `$1` is the region, for installers of AWS, `$4` the seconds after which the line is
/// ended with all that it started. By the other ones nobody asks questions,
/// files of the operator stay, messages are in English, and zypper waits for its lock.
pub const COMMAND: &[u8] = b"/usr/bin/env\0LC_ALL=C\0DEBIAN_FRONTEND=noninteractive\0DPKG_FORCE=confold\0\
    ZYPP_LOCK_TIMEOUT=-1\0AWS_REGION=$1\0timeout\0-k5\0$4\0sh\0-c\0$2\0$3\0";

/// A family, and how it is recognised.
struct Known {
    /// Values of `ID`, which single spaces separate.
    ids: &'static [u8],
    /// Oldest major release.
    oldest: u32,
    /// Newest major release; most are open, since what comes is taken to be like what is.
    newest: u32,
    family: Family,
}

static KNOWN: [Known; 6] = {
    const OPEN: u32 = u32::MAX;
    [
        Known { ids: b"amzn", oldest: 2, newest: 2, family: Family::AmazonLinux2 },
        // The first Amazon Linux counted by years too, up to 2018.
        Known { ids: b"amzn", oldest: 2023, newest: OPEN, family: Family::AmazonLinux2023 },
        Known { ids: b"ubuntu", oldest: 20, newest: OPEN, family: Family::Ubuntu },
        Known { ids: b"debian", oldest: 12, newest: OPEN, family: Family::Debian },
        Known { ids: b"rhel rocky almalinux ol centos", oldest: 8, newest: OPEN, family: Family::RedHat },
        Known { ids: b"sles", oldest: 15, newest: OPEN, family: Family::Suse },
    ]
};

/// The value of `key` in os-release, without quotes.
fn field<'a>(os_release: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let value = value_of(os_release, b'=', key, 0)?;
    match value.split_first() {
        Some((quote @ (b'"' | b'\''), rest)) => rest.strip_suffix(&[*quote]),
        Some(_) | None => Some(value),
    }
}

impl PackageKind {
    /// `deb` or `rpm`: the word in requests, and the end of file names.
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Deb => b"deb",
            Self::Rpm => b"rpm",
        }
    }

    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"deb" => Some(Self::Deb),
            b"rpm" => Some(Self::Rpm),
            _ => None,
        }
    }
}

impl Arch {
    /// `x86_64` or `aarch64`: the word in requests, as `uname -m` says it.
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::X86_64 => b"x86_64",
            Self::Aarch64 => b"aarch64",
        }
    }

    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        match name {
            b"x86_64" => Some(Self::X86_64),
            b"aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// The directory of this architecture's packages in the SSM agent's bucket.
    pub fn ssm_platform(self, kind: PackageKind) -> &'static [u8] {
        match (kind, self) {
            (PackageKind::Rpm, Self::X86_64) => b"linux_amd64",
            (PackageKind::Rpm, Self::Aarch64) => b"linux_arm64",
            (PackageKind::Deb, Self::X86_64) => b"debian_amd64",
            (PackageKind::Deb, Self::Aarch64) => b"debian_arm64",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, vec::Vec};

    #[test]
    fn every_supported_release_is_recognised_with_its_ways() {
        use Family::*;
        use Manager::*;
        #[rustfmt::skip]
        let table = [
            // ID           VERSION_ID   family           release  manager  snap   CodeDeploy 1.x
            ("amzn",        "\"2\"",     AmazonLinux2,     200,    Yum,     false, true),
            ("\"amzn\"",    "\"2023\"",  AmazonLinux2023,  202_300, Dnf,    false, true),
            ("ubuntu",      "\"20.04\"", Ubuntu,           2004,   Apt,     true,  true),
            ("ubuntu",      "\"22.04\"", Ubuntu,           2204,   Apt,     true,  true),
            ("ubuntu",      "\"24.04\"", Ubuntu,           2404,   Apt,     true,  true),
            ("ubuntu",      "\"26.04\"", Ubuntu,           2604,   Apt,     true,  false),
            ("debian",      "\"12\"",    Debian,           1200,   Apt,     false, true),
            ("debian",      "\"13\"",    Debian,           1300,   Apt,     false, false),
            ("\"rhel\"",    "\"8.10\"",  RedHat,           810,    Dnf,     false, true),
            ("\"rhel\"",    "\"9.4\"",   RedHat,           904,    Dnf,     false, true),
            ("\"rhel\"",    "\"10.0\"",  RedHat,           1000,   Dnf,     false, true),
            ("\"rocky\"",   "\"8.9\"",   RedHat,           809,    Dnf,     false, true),
            ("\"rocky\"",   "'9.3'",     RedHat,           903,    Dnf,     false, true),
            ("\"rocky\"",   "\"10.1\"",  RedHat,           1001,   Dnf,     false, true),
            ("\"almalinux\"", "\"8.10\"", RedHat,          810,    Dnf,     false, true),
            ("\"almalinux\"", "\"9.5\"", RedHat,           905,    Dnf,     false, true),
            ("\"almalinux\"", "\"10.0\"", RedHat,          1000,   Dnf,     false, true),
            ("\"sles\"",    "\"15.6\"",  Suse,             1506,   Zypper,  false, true),
        ];
        for (id, version, family, release, manager, snap, v1) in table {
            let text = format!("NAME=\"x\"\nID={id}\nID_LIKE=\"y\"\nVERSION_ID={version}\n");
            let found = Distribution::recognise(text.as_bytes());
            assert_eq!(found, Some(Distribution { family, release }), "{id} {version}");
            let distribution = Distribution { family, release };
            assert_eq!(distribution.manager(), manager, "{id} {version}");
            assert_eq!(distribution.has_ssm_snap(), snap, "{id} {version}");
            assert_eq!(distribution.takes_codedeploy_v1(), v1, "{id} {version}");
            let kind = if manager == Apt { PackageKind::Deb } else { PackageKind::Rpm };
            assert_eq!(distribution.package_kind(), kind, "{id} {version}");
        }
    }

    #[test]
    fn what_is_too_old_or_strange_is_not_recognised() {
        for (id, version) in [
            ("amzn", "\"2018.03\""),
            ("ubuntu", "\"18.04\""),
            ("debian", "\"11\""),
            ("rhel", "\"7.9\""),
            ("sles", "\"12.5\""),
            ("alpine", "3.20.0"),
            ("fedora", "41"),
            ("ubuntu", ""),
            ("\"ubuntu", "24.04"),
        ] {
            let text = format!("ID={id}\nVERSION_ID={version}\n");
            assert_eq!(Distribution::recognise(text.as_bytes()), None, "{id} {version}");
        }
        assert_eq!(Distribution::recognise(b"ID=debian\n"), None, "testing and sid have no VERSION_ID");
        assert_eq!(Distribution::recognise(b""), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_recognised_or_not(os_release: Vec<u8>, version in "[\"'0-9.]{0,12}") {
            let _ = Distribution::recognise(&os_release);
            let _ = Distribution::recognise(format!("ID=ubuntu\nVERSION_ID={version}").as_bytes());
        }
    }

    #[test]
    fn the_ssm_bucket_names_four_platforms() {
        let all = [Arch::X86_64, Arch::Aarch64]
            .map(|arch| [PackageKind::Rpm, PackageKind::Deb].map(|kind| arch.ssm_platform(kind)));
        assert_eq!(all, [[&b"linux_amd64"[..], b"debian_amd64"], [b"linux_arm64", b"debian_arm64"]]);
    }
}
