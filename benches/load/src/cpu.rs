//! CPU time of the server that is driven, of every process of one Postgres cluster, and of ourselves.
//!
//! Read from `/proc`, so Linux alone, and Postgres on the same machine and in the same PID
//! namespace. The kernel counts in ticks of 10 ms: runs of some seconds are exact to about 1 %.

use std::fs;
use std::time::Duration;

/// What is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Server {
    /// One process alone: the gateway, whose private Postgres is its child.
    Process(u32),
    /// A process with all that descend from it.
    Tree(u32),
}

/// The processes to watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    server: Server,
    postmaster: u32,
}

/// CPU time used since the processes began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) server: Duration,
    pub(crate) postgres: Duration,
    pub(crate) own: Duration,
}

impl Watched {
    /// `backend` is any server process of the cluster; the postmaster is its parent.
    pub(crate) fn new(server: Server, backend: u32) -> Result<Watched, String> {
        let postmaster = stat(backend)?.parent;
        let name = fs::read_to_string(format!("/proc/{postmaster}/comm")).unwrap_or_default();
        if !name.starts_with("postgres") && !name.starts_with("postmaster") {
            return Err(format!(
                "process {backend} is no backend of a Postgres on this machine (its parent is `{}`); the CPU per call \
                 needs Postgres beside the gateway",
                name.trim()
            ));
        }
        Ok(Watched { server, postmaster })
    }

    /// Another server beside the same Postgres.
    pub(crate) fn instead(&self, server: Server) -> Watched {
        Watched { server, postmaster: self.postmaster }
    }

    pub(crate) fn sample(&self) -> Result<Sample, String> {
        Ok(Sample {
            server: match self.server {
                Server::Process(id) => of_process(id)?,
                Server::Tree(root) => ticks(tree_ticks(root)?),
            },
            postgres: ticks(cluster_ticks(self.postmaster)?),
            own: own()?,
        })
    }

    /// The postmaster, for the report.
    pub(crate) fn postmaster(&self) -> u32 {
        self.postmaster
    }
}

/// CPU time of process `id` alone.
pub(crate) fn of_process(id: u32) -> Result<Duration, String> {
    Ok(ticks(stat(id)?.own_ticks))
}

/// The processes whose parent is `parent`.
pub(crate) fn children(parent: u32) -> Result<Vec<u32>, String> {
    Ok(processes()?.into_iter().filter(|(_, found)| found.parent == parent).map(|(id, _)| id).collect())
}

fn own() -> Result<Duration, String> {
    of_process(std::process::id())
}

struct Stat {
    parent: u32,
    own_ticks: u64,
    ended_children_ticks: u64,
}

fn stat(id: u32) -> Result<Stat, String> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))
        .map_err(|error| format!("cannot read the CPU time of process {id}: {error}"))?;
    parse(&text).ok_or_else(|| format!("/proc/{id}/stat is not as proc(5) says"))
}

fn parse(text: &str) -> Option<Stat> {
    // The command's name may hold spaces and brackets; the last bracket ends it.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        own_ticks: number(11)? + number(12)?,
        ended_children_ticks: number(13)? + number(14)?,
    })
}

/// Every process of the cluster. A backend that ends moves from the living to the postmaster's
/// ended children, so the sum never falls.
fn cluster_ticks(postmaster: u32) -> Result<u64, String> {
    let parent = stat(postmaster)?;
    let total = parent.own_ticks + parent.ended_children_ticks;
    let children = processes()?.into_iter().filter(|(_, found)| found.parent == postmaster);
    Ok(total + children.map(|(_, found)| found.own_ticks + found.ended_children_ticks).sum::<u64>())
}

fn tree_ticks(root: u32) -> Result<u64, String> {
    let parent = stat(root)?;
    let mut total = parent.own_ticks + parent.ended_children_ticks;
    let mut rest = processes()?;
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        rest.retain(|(id, found)| {
            if found.parent == parent {
                total += found.own_ticks + found.ended_children_ticks;
                parents.push(*id);
            }
            found.parent != parent
        });
    }
    Ok(total)
}

fn processes() -> Result<Vec<(u32, Stat)>, String> {
    let entries = fs::read_dir("/proc").map_err(|error| format!("cannot list /proc: {error}"))?;
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // A process may have ended since it was listed.
    Ok(ids.filter_map(|id| Some((id, stat(id).ok()?))).collect())
}

fn ticks(count: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_secs_f64(count as f64 / per_second as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text = "42 (post) gres: (x y) S 7 42 42 0 -1 4194304 1 2 3 4 110 220 330 440 20 0 1 0 99";
        let stat = parse(text).unwrap();
        assert_eq!((stat.parent, stat.own_ticks, stat.ended_children_ticks), (7, 330, 770));
        assert!(parse("42 (x) S 7").is_none());
        assert!(parse("").is_none());
    }

    #[test]
    fn a_tree_holds_a_child_and_what_it_has_spent() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "(i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done); echo; read line"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let (alone, tree) = (stat(child.id()).unwrap().own_ticks, tree_ticks(child.id()).unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(tree > alone, "{tree} ticks with its children, {alone} without");
    }

    #[test]
    fn our_own_time_grows_as_we_work() {
        let before = own().unwrap();
        let mut spun = 0_u64;
        while own().unwrap() < before + Duration::from_millis(30) {
            spun = std::hint::black_box(spun + 1);
        }
        assert!(spun > 0);
    }
}
