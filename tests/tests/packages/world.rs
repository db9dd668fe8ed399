//! The stand-in world, outside the instance and in its network: `pitcrew rehearse --hold`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::listener::{self, CodeDeploy, Heard, Peer};
use pitcrew_tests::namespace::Namespace;

/// Where the instance asks AWS.
pub(crate) const AWS: &str = "127.77.200.1:4566";
/// Where units of the instance say that they stop.
const NOTES: &str = "127.77.200.1:4567";

/// The world; it ends with the test.
pub(crate) struct World {
    process: Child,
    /// What the instance asked of AWS.
    pub(crate) heard: Heard,
    /// What it is told of deployments.
    pub(crate) codedeploy: CodeDeploy,
    /// Address of its application, which runs outside as well.
    pub(crate) application: String,
    /// The id that its metadata service gives it at first.
    pub(crate) instance: String,
    metadata: Peer,
    other: Peer,
}

impl World {
    /// Starts the world with this `pitcrew`.
    pub(crate) fn start(namespace: &Namespace, pitcrew: &Path) -> Self {
        let mut process = Command::new("ip")
            .args(["netns", "exec", &namespace.name, pitcrew.to_str().unwrap()])
            .args(["rehearse", "--hold", "--no-agent", "--first"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut variables = std::collections::BTreeMap::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let (name, value) = line.trim_start_matches("export ").split_once('=').unwrap();
            variables.insert(name.to_owned(), value.trim_matches('\'').to_owned());
            // The last of them.
            if name == "REHEARSAL_INSTANCE_2_APPLICATION" {
                break;
            }
        }
        let address = |name: &str| variables[name].trim_start_matches("http://").trim_end_matches('/').to_owned();
        let (heard, codedeploy) = (Heard::default(), CodeDeploy::default());
        let metadata = Peer::new(&address("AWS_EC2_METADATA_SERVICE_ENDPOINT"));
        listener::relay(namespace.path(), "169.254.169.254:80", &metadata, &Heard::default(), &codedeploy);
        listener::relay(namespace.path(), AWS, &Peer::new(&address("AWS_ENDPOINT_URL")), &heard, &codedeploy);
        listener::notes(namespace.path(), NOTES, &heard);
        Self {
            process,
            heard,
            codedeploy,
            application: address("REHEARSAL_INSTANCE_1_APPLICATION"),
            metadata,
            other: Peer::new(&address("REHEARSAL_INSTANCE_2_METADATA")),
            instance: variables["REHEARSAL_INSTANCE_1"].clone(),
        }
    }

    /// From now on, whoever asks the metadata service is the world's second instance.
    pub(crate) fn becomes_another_instance(&self) {
        self.metadata.becomes(&self.other);
    }

    /// What the operator tells the agent.
    pub(crate) fn configuration(&self) -> String {
        format!(
            "[aws]\nendpoint_url = \"http://{AWS}\"\n\
             [drain]\nsettle = \"200ms\"\nquiet_period = \"200ms\"\n\
             [[health.probe]]\nname = \"app\"\nhttp = \"http://{}/health\"\ninterval = \"500ms\"\n",
            self.application
        )
    }

    /// A unit that says when it stops.
    pub(crate) fn unit(name: &str) -> String {
        let said = format!("exec 3<>/dev/tcp/{}; echo {name} stops >&3", NOTES.replace(':', "/"));
        format!(
            "[Unit]\nDescription={name}\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n\
             ExecStop=/bin/bash -c '{said}'\n[Install]\nWantedBy=multi-user.target\n"
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.process.id().try_into().unwrap()), Signal::SIGINT);
        let _ = self.process.wait();
    }
}
