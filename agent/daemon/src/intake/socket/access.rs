//! Decides who may move traffic: root, the agent's own user, and the members of one group.

use std::ffi::CString;
use std::time::Duration;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Peer;

/// Who may move traffic. Everybody else may read the status.
#[derive(Clone, Debug)]
pub struct Access {
    own_uid: u32,
    group: String,
}

/// A directory service that is slower than this has not said yes.
const LOOKUP: Duration = Duration::from_secs(5);

impl Access {
    /// Root, the user of this process, and the members of `group`.
    pub fn members_of(group: impl Into<String>) -> Self {
        Self { own_uid: Uid::effective().as_raw(), group: group.into() }
    }

    /// Whether `peer` may move traffic. Membership is looked up by user each time, so that `usermod -aG` helps at
    /// once; the groups of the peer's process cannot be read without a race against its end.
    pub(super) async fn may_move_traffic(&self, peer: Peer) -> bool {
        if peer.uid == 0 || peer.uid == self.own_uid {
            return true;
        }
        let group = self.group.clone();
        let lookup = spawn_blocking(move || is_member(peer, &group));
        matches!(timeout(LOOKUP, lookup).await, Ok(Ok(true)))
    }

    /// What to tell a peer that may not.
    pub(super) fn refusal(&self, peer: Peer) -> String {
        format!(
            "user {uid} may not move traffic; run this as root, or add the user to group `{group}` \
             (usermod -aG {group} USER)",
            uid = peer.uid,
            group = self.group,
        )
    }
}

fn is_member(peer: Peer, group: &str) -> bool {
    let Ok(Some(group)) = Group::from_name(group) else {
        return false;
    };
    let gid = Gid::from_raw(peer.gid);
    if gid == group.gid {
        return true;
    }
    let groups = || {
        let user = User::from_uid(Uid::from_raw(peer.uid)).ok()??;
        getgrouplist(&CString::new(user.name).ok()?, user.gid).ok()
    };
    groups().is_some_and(|groups: Vec<Gid>| groups.contains(&group.gid))
}
