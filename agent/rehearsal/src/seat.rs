//! A seat: one instance of the stand-in world, with its addresses and directories.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// One instance: what a real one would know about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// 1 for the first instance.
    pub number: u8,
    /// As EC2 writes it: `i-` and 17 hexadecimal digits.
    pub instance_id: String,
    /// The instance's own address, a loopback address in both kinds of rehearsal.
    pub address: IpAddr,
    /// Where its application listens.
    pub application: SocketAddr,
    /// Where its metadata service answers.
    pub metadata: SocketAddr,
    /// Where its agent says how it is.
    pub looked_at: SocketAddr,
    /// Whether deployments go to it; the others only carry traffic.
    pub deployed_to: bool,
    /// Its part of the disk; `None` in a simulated rehearsal, which touches no disk.
    pub dirs: Option<Dirs>,
}

/// The directories of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Stands for `/`: where `files:` of a revision are installed.
    pub root: PathBuf,
    /// `pitcrew run --config-dir`.
    pub config: PathBuf,
    /// `pitcrew run --state-dir`.
    pub state: PathBuf,
    /// Sockets; the agent's is `pitcrew.sock` in it.
    pub runtime: PathBuf,
    /// First in the hooks' `PATH`: `pitcrew` and `systemctl`.
    pub bin: PathBuf,
    /// CodeDeploy's deployment root.
    pub deployments: PathBuf,
    /// Output of the agent and of the application.
    pub logs: PathBuf,
}

/// A port that no other instance of this machine's rehearsals has: an agent counts connections by port, as it may on a
/// host of its own, where all loopback addresses belong to one host.
fn port(district: u8, number: u8) -> u16 {
    8080 + 110 * u16::from(district) + u16::from(number)
}

impl Seat {
    /// The seat with this number in the given district: `127.77.<district>.<number>`.
    pub fn new(district: u8, number: u8, instance_id: String, deployed_to: bool) -> Self {
        let address = IpAddr::V4(Ipv4Addr::new(127, 77, district, number));
        Self {
            number,
            instance_id,
            address,
            application: SocketAddr::new(address, port(district, number)),
            metadata: SocketAddr::new(address, 1338),
            looked_at: SocketAddr::new(address, 8790),
            deployed_to,
            dirs: None,
        }
    }
}

impl Dirs {
    /// The directories below `home`; nothing is created.
    pub fn below(home: PathBuf) -> Self {
        Self {
            root: home.join("root"),
            config: home.join("config"),
            state: home.join("state"),
            runtime: home.join("run"),
            bin: home.join("bin"),
            deployments: home.join("deployment-root"),
            logs: home.join("logs"),
        }
    }

    /// The operator's scripts that run before the instance goes.
    pub fn drain_scripts(&self) -> PathBuf {
        self.root.join("etc/pitcrew/drain.d")
    }

    /// Where the rehearsal's own script among them writes that it ran.
    pub(crate) fn drain_log(&self) -> PathBuf {
        self.logs.join("drain.d")
    }

    /// Which boot the instance is in: another one after each reboot.
    pub fn boot_id(&self) -> PathBuf {
        self.root.join("boot-id")
    }

    /// The agent's socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("pitcrew.sock")
    }

    /// Every directory, for creating them.
    pub fn all(&self) -> [&PathBuf; 7] {
        [&self.root, &self.config, &self.state, &self.runtime, &self.bin, &self.deployments, &self.logs]
    }
}
