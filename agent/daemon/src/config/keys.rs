//! Every key, its type and its default: one table, from which reading, merging and showing follow.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use pitcrew_core::elastigroup::{Process, ReadyAfter, Settings as CoreElastigroup};
use pitcrew_core::settings::{BeforeStop, OnAdvice, OnDead, OnNotice, Settings as Core};
use pitcrew_core::wire::Owner;

use super::agents::{Agents, Restart};
use super::elastigroup::{AccountId, BASE_URL, Elastigroup, GroupId, TokenPlace};
use super::leave::{Commands, DRAIN_D, Leave, RunScripts, Scheduled, StopWord, TagKey, Webhook};
use super::origin::{Chosen, Complaint, Origin};
use super::probe::{self, ProbeKeys};
use super::read::{Reader, Table};
use super::settings::{Aws, CloudWatch, CodeDeployAgent, History, Http, Imds, Log, LogFormat, LogLevel};
use super::show::Row;
use super::tags::{TagSettings, TagTable, VersionFrom};
use super::value::{HookTimeout, Kept, Listen, OnWithdrawn, Period, TargetGroup, TrafficOwner, Value};
use super::{ConfigError, Settings};

macro_rules! sections {
    ($($name:literal $section:ident: $Section:ident {
        $($key:ident: $Type:ty = $default:expr,)*
    })*) => {
        /// What one file says; a key that it does not mention is `None`.
        #[derive(Debug, Default)]
        pub(super) struct Fragment {
            $($section: fragment::$Section,)*
            probes: Vec<Chosen<ProbeKeys>>,
        }

        /// What all files say together, each key with where it comes from.
        #[derive(Debug)]
        pub struct Merged {
            $($section: merged::$Section,)*
            probes: BTreeMap<String, Chosen<ProbeKeys>>,
        }

        mod fragment {
            use super::*;
            $(#[derive(Debug, Default)]
            pub(super) struct $Section {
                $(pub(super) $key: Option<Chosen<$Type>>,)*
            })*
        }

        mod merged {
            use super::*;
            $(#[derive(Debug)]
            pub(super) struct $Section {
                $(pub(super) $key: Chosen<$Type>,)*
            })*
        }

        impl Fragment {
            /// Takes every key that the table above knows; `reader` collects what is wrong.
            pub(super) fn read(reader: &Reader<'_>, mut file: Table<'_>) -> Self {
                let fragment = Self {
                    $($section: {
                        let mut table = file.section(reader, $name);
                        let section = fragment::$Section {
                            $($key: table.take(reader, stringify!($key)),)*
                        };
                        table.refuse_the_rest(reader, &[$(stringify!($key)),*]);
                        section
                    },)*
                    probes: probe::read(reader, file.section(reader, "health")),
                };
                file.refuse_the_rest(reader, &[$($name,)* "health"]);
                fragment
            }

            /// Lets `later` win, key by key; a probe of the same name is replaced whole.
            pub(super) fn then(mut self, later: Self) -> Self {
                self.probes.extend(later.probes);
                Self {
                    $($section: fragment::$Section {
                        $($key: later.$section.$key.or(self.$section.$key),)*
                    },)*
                    probes: self.probes,
                }
            }
        }

        impl From<Fragment> for Merged {
            fn from(fragment: Fragment) -> Self {
                Self {
                    $($section: merged::$Section {
                        $($key: fragment.$section.$key.unwrap_or_else(|| Chosen {
                            value: $default,
                            origin: Origin::Default,
                        }),)*
                    },)*
                    probes: fragment
                        .probes
                        .into_iter()
                        .map(|probe| (probe.value.name().to_owned(), probe))
                        .collect(),
                }
            }
        }

        impl Merged {
            /// Every key with its value and origin, in the order of the table; then the probes'.
            pub(super) fn rows(&self) -> Vec<Row> {
                let mut rows = vec![$($(Row {
                    section: $name.to_owned(),
                    key: stringify!($key),
                    value: self.$section.$key.value.show(),
                    origin: self.$section.$key.origin.clone(),
                },)*)*];
                rows.extend(self.probes.values().flat_map(probe::rows));
                rows
            }
        }
    };
}

sections! {
    "traffic" traffic: Traffic {
        owner: TrafficOwner = TrafficOwner(Core::default().owner),
        target_groups: Vec<TargetGroup> = Vec::new(),
        keep_last_healthy: bool = Core::default().keep_last_healthy,
    }
    "drain" drain: Drain {
        settle: Duration = Core::default().settle,
        quiet_period: Duration = Core::default().quiet_period,
    }
    "return" comeback: Return {
        within: Period = Period(Core::default().return_within),
    }
    "deployment" deployment: Deployment {
        ask_after: Period = Period(Core::default().ask_after),
        command_within: Period = Period(Core::default().command_within),
        assume_dead_after: Period = Period(Core::default().assume_dead_after),
        on_dead: OnDead = Core::default().on_dead,
        replace_after: Period = Period(Core::default().replace_after),
        return_blocked: bool = Core::default().return_blocked,
        hook_timeout: HookTimeout = HookTimeout(Duration::from_secs(14 * 60)),
        on_notice: OnNotice = Core::default().on_notice,
        before_stop: BeforeStop = Core::default().before_stop,
    }
    "leave" leave: LeaveKeys {
        budget: Period = Period(Core::default().leave_budget),
        hibernate_budget: Period = Period(Core::default().hibernate_budget),
        on_rebalance: OnAdvice = Core::default().on_rebalance,
        on_foreign_drain: OnAdvice = Core::default().on_foreign_drain,
        on_withdrawn: OnWithdrawn = OnWithdrawn::of(Core::default().return_when_withdrawn),
        on_stop: StopWord = StopWord::Leave,
        stop_budget: Period = Period(Duration::from_secs(85)),
        scheduled: Scheduled = Scheduled::default(),
        scripts: PathBuf = PathBuf::from(DRAIN_D),
        run_scripts: RunScripts = RunScripts::Unit,
        remove_tags: Vec<TagKey> = Vec::new(),
        lifecycle_hook: Option<String> = None,
        webhook: Option<Webhook> = None,
        commands: Commands = Commands::default(),
    }
    "elastigroup" elastigroup: ElastigroupKeys {
        token: Option<TokenPlace> = None,
        account: Option<AccountId> = None,
        group: Option<GroupId> = None,
        ready: ReadyAfter = CoreElastigroup::default().ready,
        suspend: Vec<Process> = CoreElastigroup::default().suspend.into_iter().collect(),
        base_url: Uri = Uri::from_static(BASE_URL),
        timeout: Period = Period(Duration::from_secs(10)),
    }
    "codedeploy" codedeploy: CodeDeployKeys {
        root: PathBuf = CodeDeployAgent::default().root,
    }
    "agents" agents: AgentsKeys {
        look: Period = Period(Duration::from_secs(60)),
        stuck_after: Period = Period(Duration::from_secs(600)),
        restart: Restart = Restart::WhenStuck,
        inventory: bool = true,
    }
    "tags" tags: TagsKeys {
        version: VersionFrom = VersionFrom::default(),
        after_success: TagTable = TagTable::default(),
    }
    "imds" imds: ImdsKeys {
        poll: Period = Period(Duration::from_secs(1)),
        timeout: Period = Period(Duration::from_secs(1)),
        endpoint: Option<Uri> = None,
    }
    "aws" aws: AwsKeys {
        region: Option<String> = None,
        endpoint_url: Option<Uri> = None,
        timeout: Period = Period(Duration::from_secs(5)),
    }
    "socket" socket: Socket {
        group: String = "pitcrew".to_owned(),
    }
    "http" http: HttpKeys {
        listen: Listen = Listen(Some(SocketAddr::from(([127, 0, 0, 1], 8790)))),
        ready_listen: Option<SocketAddr> = None,
        ready_when_blind: bool = !Core::default().unready_when_blind,
        ready_without_agents: bool = !Core::default().unready_without_agents,
        answer_hcs: bool = false,
    }
    "cloudwatch" cloudwatch: CloudWatchKeys {
        namespace: Option<String> = None,
        period: Period = Period(Duration::from_secs(60)),
    }
    "autoscaling" autoscaling: AutoScalingKeys {
        report_unhealthy_after: Option<Period> = None,
    }
    "history" history: HistoryKeys {
        keep: Kept = Kept(500),
    }
    "log" log: LogKeys {
        format: LogFormat = LogFormat::Auto,
        level: LogLevel = LogLevel::Info,
    }
}

impl Default for Merged {
    fn default() -> Self {
        Fragment::default().into()
    }
}

impl Merged {
    /// Refuses keys that make no sense together.
    pub(super) fn consistent(self) -> Result<Self, ConfigError> {
        let mut complaints = Vec::new();
        let mut complain = |origin: &Origin, sentence: &str| {
            if let Origin::File(path, line) = origin {
                complaints.push(Complaint { path: path.clone(), line: *line, sentence: sentence.to_owned() });
            }
        };
        if self.traffic.owner.value.0 == Some(Owner::Elastigroup) && self.elastigroup.token.value.is_none() {
            complain(
                &self.traffic.owner.origin,
                "traffic.owner: \"elastigroup\" moves traffic through Elastigroup's API, which needs [elastigroup] token",
            );
        }
        let (listen, ready_listen) = (self.http.listen.value.0, &self.http.ready_listen);
        if ready_listen.value.is_some() && ready_listen.value == listen {
            complain(
                &ready_listen.origin,
                "http.ready_listen: is the address of http.listen, where /ready is answered, too; give it another port",
            );
        }
        match complaints.is_empty() {
            true => Ok(self),
            false => Err(ConfigError::Refused(complaints)),
        }
    }

    /// The settings that these keys make.
    pub fn into_settings(self) -> Settings {
        let probes = self.probes.into_values().map(|probe| probe.value);
        let (probes, thresholds) = probes.map(ProbeKeys::into_parts).unzip();
        Settings {
            core: Core {
                owner: self.traffic.owner.value.0,
                keep_last_healthy: self.traffic.keep_last_healthy.value,
                settle: self.drain.settle.value,
                quiet_period: self.drain.quiet_period.value,
                return_within: self.comeback.within.value.0,
                ask_after: self.deployment.ask_after.value.0,
                command_within: self.deployment.command_within.value.0,
                assume_dead_after: self.deployment.assume_dead_after.value.0,
                on_dead: self.deployment.on_dead.value,
                replace_after: self.deployment.replace_after.value.0,
                return_blocked: self.deployment.return_blocked.value,
                on_notice: self.deployment.on_notice.value,
                before_stop: self.deployment.before_stop.value,
                return_when_withdrawn: self.leave.on_withdrawn.value == OnWithdrawn::Return,
                on_rebalance: self.leave.on_rebalance.value,
                on_foreign_drain: self.leave.on_foreign_drain.value,
                leave_budget: self.leave.budget.value.0,
                hibernate_budget: self.leave.hibernate_budget.value.0,
                unready_when_blind: !self.http.ready_when_blind.value,
                unready_without_agents: !self.http.ready_without_agents.value,
                remove_tags: !self.leave.remove_tags.value.is_empty(),
                elastigroup: self.elastigroup.token.value.as_ref().map(|_| CoreElastigroup {
                    suspend: self.elastigroup.suspend.value.iter().copied().collect(),
                    ready: self.elastigroup.ready.value,
                }),
                probes: thresholds,
                seed: Core::default().seed,
            },
            target_groups: (self.traffic.target_groups.value.into_iter()).map(|group| group.0).collect(),
            probes,
            hook_timeout: self.deployment.hook_timeout.value.0,
            leave: Leave {
                on_stop: self.leave.on_stop.value.within(self.leave.stop_budget.value.0),
                scripts: self.leave.scripts.value,
                run_scripts: self.leave.run_scripts.value,
                remove_tags: (self.leave.remove_tags.value.into_iter()).map(|key| key.0).collect(),
                lifecycle_hook: self.leave.lifecycle_hook.value,
                scheduled: self.leave.scheduled.value,
                webhook: self.leave.webhook.value,
                commands: self.leave.commands.value,
            },
            elastigroup: Elastigroup {
                token: self.elastigroup.token.value,
                account: self.elastigroup.account.value.map(|id| id.0),
                group: self.elastigroup.group.value.map(|id| id.0),
                base_url: self.elastigroup.base_url.value,
                timeout: self.elastigroup.timeout.value.0,
            },
            codedeploy: CodeDeployAgent { root: self.codedeploy.root.value },
            agents: Agents {
                look: self.agents.look.value.0,
                stuck_after: self.agents.stuck_after.value.0,
                restart: self.agents.restart.value,
                inventory: self.agents.inventory.value,
            },
            tags: TagSettings { version: self.tags.version.value, after_success: self.tags.after_success.value.0 },
            imds: Imds {
                poll: self.imds.poll.value.0,
                timeout: self.imds.timeout.value.0,
                endpoint: self.imds.endpoint.value,
            },
            aws: Aws {
                region: self.aws.region.value,
                endpoint_url: self.aws.endpoint_url.value,
                timeout: self.aws.timeout.value.0,
            },
            socket_group: self.socket.group.value,
            http: Http {
                listen: self.http.listen.value.0,
                ready_listen: self.http.ready_listen.value,
                answer_hcs: self.http.answer_hcs.value,
            },
            cloudwatch: (self.cloudwatch.namespace.value)
                .map(|namespace| CloudWatch { namespace, period: self.cloudwatch.period.value.0 }),
            report_unhealthy_after: self.autoscaling.report_unhealthy_after.value.map(|period| period.0),
            history: History { keep: self.history.keep.value.0 },
            log: Log { format: self.log.format.value, level: self.log.level.value },
        }
    }
}
