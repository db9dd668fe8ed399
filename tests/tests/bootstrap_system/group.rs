//! A group's request in full, and the agents that it installs: packages with real services that do what the
//! bootstrap must be able to see of the real agents.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pitcrew_plan::journal::Outcome::{self, Already, Done};
use pitcrew_plan::journal::{Entry, latest_run};
use pitcrew_render::Arch;
use ring::digest::{SHA256, digest};

use super::installer;
use super::packages::Package;
use super::world::{EC2, INSTANCE, REGION, S3, World};
use pitcrew_tests::machine::Machine;

const VERSION: &str = "3.3.3050.0";
const AUTHORITY: &str = "/etc/pitcrew-test-authority.pem";
pub(crate) const JOURNAL: &str = "var/lib/pitcrew-bootstrap/journal";
const SCRIPT: &str = "/var/lib/cloud/instance/scripts/part-001";

/// The journal of a first run that goes well, step by step. What only waits may find that it need not.
const FIRST_RUN: [(&str, &[Outcome]); 9] = [
    ("facts", &[Done]),
    ("role", &[Done, Already]),
    ("pitcrew", &[Done]),
    ("ssm", &[Done]),
    ("codedeploy", &[Done]),
    ("ssm-online", &[Done, Already]),
    ("codedeploy-running", &[Done, Already]),
    ("tags", &[Done]),
    ("end", &[Done]),
];

/// Registers as the real one does: after a moment, with the id that the metadata service says, at the time of the
/// call.
const SSM_AGENT: &str = r#"
sleep 1
folder=/var/lib/amazon/ssm/runtimeconfig
mkdir -p $folder
id=$(curl -fsS http://169.254.169.254/latest/meta-data/instance-id)
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
printf '{"SchemaVersion":"1.1","InstanceId":"%s","IdentityType":"EC2","CredentialsRetrievedAt":"%s"}' $id $now >$folder/new
mv $folder/new $folder/identity_config.json
exec sleep infinity"#;

/// Keeps what its configuration was at its very first start.
const CODEDEPLOY_AGENT: &str = r#"
[ -e /var/lib/first-config ] || cp /etc/codedeploy-agent/conf/codedeployagent.yml /var/lib/first-config
exec sleep infinity"#;

/// Format of packages.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Deb,
    Rpm,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }

    fn ssm_platform(self) -> &'static str {
        match (self, installer::ARCH) {
            (Self::Deb, Arch::X86_64) => "debian_amd64",
            (Self::Deb, Arch::Aarch64) => "debian_arm64",
            (Self::Rpm, Arch::X86_64) => "linux_amd64",
            (Self::Rpm, Arch::Aarch64) => "linux_arm64",
        }
    }

    pub(crate) fn build(self, package: &Package<'_>) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let file = match self {
            Self::Deb => package.deb(folder.path()),
            Self::Rpm => package.rpm(folder.path()),
        };
        fs::read(file).unwrap()
    }
}

/// A machine of the group in its world, ready to boot for the first time.
pub(crate) struct Group {
    pub(crate) machine: Machine,
    pub(crate) world: World,
    pub(crate) settings: String,
}

impl Group {
    /// A machine that says of itself `os_release`; `install` is the command that its distribution installs a
    /// package file with, for the installer of the CodeDeploy agent.
    pub(crate) async fn new(name: &str, os_release: &str, kind: Kind, install: &str) -> Self {
        let machine = Machine::with_user_data(name, os_release);
        let world = World::start(machine.listen("169.254.169.254:80"), machine.listen("127.0.0.1:443"));
        machine.write("etc/hosts", format!("127.0.0.1 localhost {S3} {EC2}\n").as_bytes());
        machine.write(AUTHORITY.trim_start_matches('/'), world.authority.as_bytes());

        let extension = kind.name();
        let pitcrew = kind.build(&Package {
            name: "pitcrew",
            version: "0.1.0",
            program: "exec sleep infinity",
            unit: "pitcrew",
            depends: "",
        });
        let ssm = kind.build(&Package {
            name: "amazon-ssm-agent",
            version: VERSION,
            program: SSM_AGENT,
            unit: "amazon-ssm-agent",
            depends: "",
        });
        let codedeploy = kind.build(&Package {
            name: "codedeploy-agent",
            version: "2.0.1",
            program: CODEDEPLOY_AGENT,
            unit: "codedeploy-agent",
            depends: "",
        });
        let platform = kind.ssm_platform();
        let settings = format!(
            r#"
            [run]
            deadline = "2m"
            pace = "200ms"
            [[package]]
            arch = "{arch}"
            url = "https://{S3}/packages/pitcrew.{extension}"
            sha256 = "{pitcrew_sha256}"
            [ssm]
            version = "{VERSION}"
            [ssm.sha256]
            "linux_amd64/amazon-ssm-agent.rpm" = "{ssm_sha256}"
            "linux_arm64/amazon-ssm-agent.rpm" = "{ssm_sha256}"
            "debian_amd64/amazon-ssm-agent.deb" = "{ssm_sha256}"
            "debian_arm64/amazon-ssm-agent.deb" = "{ssm_sha256}"
            [codedeploy]
            version = "2"
            config = {{ max_revisions = 2 }}
            [tags]
            "pitcrew:ready" = "true"
            "Team name" = "blue & green"
            [endpoints]
            ca = "{AUTHORITY}"
            "#,
            arch = std::env::consts::ARCH,
            pitcrew_sha256 = sha256(&pitcrew),
            ssm_sha256 = sha256(&ssm),
        );
        let installer = format!(
            "#!/bin/sh\nset -e\n[ \"$1\" = auto ]\nfile=$(mktemp -d)/codedeploy-agent.{extension}\n\
             curl -fsS --cacert {AUTHORITY} -o $file https://{S3}/aws-codedeploy-{REGION}/releases/agent\n{install} $file\n"
        );
        world.put(&format!("packages/pitcrew.{extension}"), pitcrew);
        world.put(&format!("amazon-ssm-{REGION}/{VERSION}/{platform}/amazon-ssm-agent.{extension}"), ssm);
        world.put(&format!("aws-codedeploy-{REGION}/latestv2/install"), installer.into_bytes());
        world.put(&format!("aws-codedeploy-{REGION}/releases/agent"), codedeploy);
        Self { machine, world, settings }
    }

    /// Puts another object in the place of one, and has its digest pinned in the place of the other's.
    pub(crate) fn replace(&mut self, key: &str, object: Vec<u8>) {
        let digest = sha256(&object);
        if let Some(other) = self.world.put(key, object) {
            self.settings = self.settings.replace(&sha256(&other), &digest);
        }
    }

    /// Boots with user data for [`Self::settings`] and waits until cloud-init is through with it.
    pub(crate) async fn launch(&mut self, appended: Option<&str>) {
        let user_data = installer::user_data(&self.settings, appended).await;
        self.world.with(|state| state.user_data = user_data.bytes);
        self.boot().await;
    }

    /// Boots and waits until cloud-init has finished.
    pub(crate) async fn boot(&mut self) {
        self.machine.start();
        // `/run` is the machine's own file system, which is seen from inside only.
        let is_through =
            || self.machine.is_up() && self.machine.succeeds(&["test", "-e", "/run/cloud-init/result.json"]);
        // The world goes on answering meanwhile.
        tokio::task::block_in_place(|| {
            self.machine.until("cloud-init is through", Duration::from_secs(300), is_through);
        });
    }

    /// Runs the same user data again, by hand; answers with its exit status.
    pub(crate) fn run_again(&self) -> Option<i32> {
        self.machine.output(&["sh", SCRIPT]).status.code()
    }

    /// Milliseconds that a step of the latest run took.
    pub(crate) fn millis(&self, step: &str) -> Option<u32> {
        latest_run(self.machine.read(JOURNAL).as_bytes()).find_map(|entry| match entry {
            Entry::Step { name, millis, .. } if name == step => Some(millis),
            Entry::Run { .. } | Entry::Step { .. } | Entry::End { .. } => None,
        })
    }

    /// Steps of the latest run and how they ended, `end` last.
    pub(crate) fn story(&self) -> Vec<(String, Outcome)> {
        let journal = self.machine.read(JOURNAL);
        latest_run(journal.as_bytes())
            .filter_map(|entry| match entry {
                Entry::Run { .. } => None,
                Entry::Step { name, outcome, .. } => Some((name.to_owned(), outcome)),
                Entry::End { outcome, .. } => Some(("end".to_owned(), outcome)),
            })
            .collect()
    }

    /// Tries the whole life of an instance: first boot, run again, reboot, and its disk under another instance id.
    pub(crate) async fn live(&mut self) {
        self.launch(None).await;
        let machine = &self.machine;
        self.assert_story(&FIRST_RUN);
        for unit in ["pitcrew", "amazon-ssm-agent", "codedeploy-agent"] {
            assert!(machine.is_active(unit), "{unit}: {}", machine.story());
        }
        assert_eq!(machine.read("var/lib/first-config"), ":max_revisions: 2\n", "configured before its first start");
        self.assert_tagged(&[INSTANCE]);
        assert_eq!(
            self.world.with(|state| state.heard.last().cloned()),
            Some(format!("POST {EC2}/")),
            "the tags are the very last thing"
        );
        self.assert_keeps_secrets();

        assert_eq!(self.run_again(), Some(0), "{}", self.machine.story());
        self.assert_story(&FIRST_RUN.map(|(step, _)| (step, if step == "facts" { &[Done][..] } else { &[Already] })));
        self.assert_tagged(&[INSTANCE]);

        self.machine.power_off();
        self.boot().await;
        self.assert_tagged(&[INSTANCE]);

        const SUCCESSOR: &str = "i-0fedcba9876543210";
        self.machine.power_off();
        self.world.with(|state| state.instance = SUCCESSOR.to_owned());
        self.boot().await;
        self.assert_tagged(&[INSTANCE, SUCCESSOR]);
    }

    /// The latest run took these steps, each with one of the outcomes that are allowed for it.
    fn assert_story(&self, expected: &[(&str, &[Outcome])]) {
        let story = self.story();
        let fits = |((step, outcome), (wanted, allowed)): (&(String, Outcome), &(&str, &[Outcome]))| {
            step == wanted && allowed.contains(outcome)
        };
        let as_expected = story.len() == expected.len() && story.iter().zip(expected).all(fits);
        assert!(as_expected, "{story:?}\nshould be\n{expected:?}\n{}", self.machine.story());
    }

    /// One accepted call for each of these instances, in this order, with both tags; none that was refused.
    pub(crate) fn assert_tagged(&self, instances: &[&str]) {
        let story = self.machine.story();
        self.world.with(|state| {
            assert_eq!(state.refused, Vec::<String>::new());
            let tagged: Vec<_> = state.tagged.iter().map(|form| form["ResourceId.1"].as_str()).collect();
            assert_eq!(tagged, instances, "{story}");
            for form in &state.tagged {
                let mut tags: Vec<_> = (1..=2)
                    .map(|n| (form[&format!("Tag.{n}.Key")].as_str(), form[&format!("Tag.{n}.Value")].as_str()))
                    .collect();
                tags.sort_unstable();
                assert_eq!(tags, [("Team name", "blue & green"), ("pitcrew:ready", "true")]);
                assert!(!form.contains_key("Tag.3.Key"));
            }
        });
    }

    /// The role's secret and token are in no file that the bootstrap leaves.
    fn assert_keeps_secrets(&self) {
        let role = self.world.with(|state| state.role.clone());
        let mut searched = 0;
        let folder = self.machine.path("var/lib/pitcrew-bootstrap");
        let logs = ["var/log/cloud-init.log", "var/log/cloud-init-output.log"].map(|log| self.machine.path(log));
        let kept = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        for file in kept.chain(logs).filter(|path| Path::is_file(path)) {
            let content = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
            assert!(!content.contains(&role.secret) && !content.contains(&role.token), "{}", file.display());
            searched += 1;
        }
        assert!(searched >= 4, "installer, journal, output and cloud-init's logs are there to be searched");
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
