//! `evenkeel switch`: all of a route's exchanges to another pool, once its backends are up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proxy::{CantSwitch, Health, Plan};
use serde::{Deserialize, Serialize};

use crate::ReloadError;
use crate::run::Shared;

/// How often backends that are not up yet are looked at.
const EVERY: Duration = Duration::from_millis(50);
/// Longest wait for them.
const LONGEST: Duration = Duration::from_secs(600);

/// What to switch, as it is asked for over the admin listener.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Switch {
    /// The route.
    pub route: String,
    /// The pool everything of it goes to; `None` has it go by the file again.
    pub pool: Option<String>,
    /// How long all backends of the pool may take to be up. Unit: seconds. `None` does not wait for them.
    #[serde(default)]
    pub wait_healthy: Option<f64>,
}

/// Why nothing was switched.
pub(crate) enum NotSwitched {
    Cant(CantSwitch),
    /// These backends of the pool are not up.
    Unhealthy(Vec<String>),
    NothingServed,
    Reload(ReloadError),
}

impl NotSwitched {
    /// For a person.
    pub(crate) fn text(&self, asked: &Switch) -> String {
        match self {
            Self::Cant(CantSwitch::Route) => format!("there is no route `{}`", asked.route),
            Self::Cant(CantSwitch::Pool) => format!("there is no pool `{}`", asked.pool.as_deref().unwrap_or_default()),
            Self::Cant(CantSwitch::EndsElsewhere) => format!("the route `{}` ends in no pool", asked.route),
            Self::Unhealthy(backends) => format!("not up in time: {}; nothing was switched", backends.join(", ")),
            Self::NothingServed => "nothing is served yet".to_owned(),
            Self::Reload(error) => error.to_string(),
        }
    }

    /// For programs.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Cant(CantSwitch::Route) => "no_such_route",
            Self::Cant(CantSwitch::Pool) => "no_such_pool",
            Self::Cant(CantSwitch::EndsElsewhere) => "route_has_no_pool",
            Self::Unhealthy(_) => "not_healthy",
            Self::NothingServed => "starting",
            Self::Reload(error) => error.reason(),
        }
    }
}

impl Shared {
    /// Switches a route, as a reload would: every exchange from the next one on, none half-way.
    pub(crate) async fn switch(self: &Arc<Self>, asked: &Switch) -> Result<(), NotSwitched> {
        if let (Some(pool), Some(seconds)) = (&asked.pool, asked.wait_healthy) {
            let patience = Duration::try_from_secs_f64(seconds).unwrap_or_default().min(LONGEST);
            self.wait_healthy(pool, patience).await?;
        }
        self.bring_switch_into_force(asked).await?;
        match &asked.pool {
            Some(pool) => tracing::info!(route = asked.route, pool, "route switched"),
            None => tracing::info!(route = asked.route, "route goes by the file again"),
        }
        Ok(())
    }

    async fn wait_healthy(&self, pool: &str, patience: Duration) -> Result<(), NotSwitched> {
        let until = Instant::now() + patience;
        loop {
            let plan = self.data.plan().ok_or(NotSwitched::NothingServed)?;
            let missing = not_up(&plan, pool).ok_or(NotSwitched::Cant(CantSwitch::Pool))?;
            if missing.is_empty() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(NotSwitched::Unhealthy(missing));
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// The backends of a pool that are not up; backups and those that drain do not count. A pool without checks is up.
fn not_up(plan: &Plan, pool: &str) -> Option<Vec<String>> {
    let pool = plan.pools.iter().find(|known| known.name == pool)?;
    let is_checked = pool.health.check != config::model::Check::Off;
    let missing = pool.backends.iter().filter(|backend| backend.tier == 0 && !backend.state.is_draining());
    let missing = missing.filter(|backend| backend.state.health() != Health::Up && is_checked);
    Some(missing.map(|backend| backend.name.clone()).chain(pool.unresolved.iter().cloned()).collect())
}
