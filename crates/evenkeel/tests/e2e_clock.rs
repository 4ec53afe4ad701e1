//! Row F18 of the safety contract: the wall clock jumps by a day, forth and back, and no deadline takes note of it.
//!
//! The process sees the jump through a library that stands before libc's `clock_gettime`; the machine's clock stays as it is.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testkit::Evenkeel;
use testkit::backend::{Recording, Script, Step};
use testkit::client::Connection;

const BINARY: &str = env!("CARGO_BIN_EXE_evenkeel");
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const SECOND: Duration = Duration::from_secs(1);
const DAY: i64 = 86_400;

/// Adds the seconds that a symbolic link names to the wall clock, and leaves the other clocks alone.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *t) {
    int failed = syscall(SYS_clock_gettime, id, t);
    if (failed || id != CLOCK_REALTIME) return failed;
    char jump[32] = "";
    const char *link = getenv("CLOCK_JUMP");
    if (link && readlink(link, jump, sizeof jump - 1) > 0) t->tv_sec += atol(jump);
    return 0;
}
"#;

fn build_shim(folder: &Path) {
    let source = folder.join("shim.c");
    fs::write(&source, SHIM).unwrap();
    // The compiler that links every Rust program.
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(folder.join("shim.so")).arg(&source).status();
    assert!(built.unwrap().success());
}

fn jump(folder: &Path, seconds: i64) {
    // Made aside and moved: the clock must never be seen without its offset.
    symlink(seconds.to_string(), folder.join("new")).unwrap();
    fs::rename(folder.join("new"), folder.join("jump")).unwrap();
}

/// How far the last line of the access log is from the true time, if there is one. Unit: days.
fn logged_days(evenkeel: &Evenkeel) -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let log = evenkeel.stdout();
    let time = log.strip_suffix('\n')?.rsplit('\n').next()?.split('"').nth(3)?;
    let seconds = Command::new("date").args(["+%s", "-d", time]).output().unwrap();
    let logged: i64 = String::from_utf8(seconds.stdout).unwrap().trim().parse().unwrap();
    Some((logged - now + DAY / 2).div_euclid(DAY))
}

/// Row F18.
#[test]
fn f18_a_jump_of_the_wall_clock_times_nothing_out_and_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    build_shim(folder.path());
    let backend = Recording::with("one", Script::fixed(ANSWER));
    let config = format!(
        "workers = 1\n[admin]\nlisten = \"ADMIN\"\n[listener.web]\nlisten = \"LISTEN\"\ntimeout = {{ header = \"2s\" }}\n\
         [[route]]\npool = \"app\"\n[pool.app]\nbackends = [\"{}\"]\nhealth = {{ tcp = true, interval = \"200ms\" }}\n",
        backend.address()
    );
    let dir = folder.path().display();
    let before = format!("export LD_PRELOAD='{dir}/shim.so' CLOCK_JUMP='{dir}/jump'");
    let evenkeel = Evenkeel::start_after(&before, &testkit::binary(BINARY), &config);
    let open = || Connection::open(evenkeel.address()).unwrap();
    let mut idle = open();
    assert_eq!(idle.exchange(GET).unwrap().status, 200);
    for days in [1, -1, 0] {
        let mark = backend.count();
        backend.next(Script(vec![Step::ReadRequest, Step::Pause(SECOND / 2), Step::Write(ANSWER.to_vec())]));
        let [mut waiting, mut uploading, mut begun, mut late] = [(); 4].map(|()| open());
        waiting.send(GET).unwrap();
        assert!(backend.wait_until(SECOND * 2, |seen| seen.get(mark).is_some_and(|e| e.complete)));
        uploading.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhalf").unwrap();
        begun.send(&GET[..20]).unwrap();
        late.send(&GET[..20]).unwrap();
        let since = Instant::now();
        jump(folder.path(), days * DAY);
        // Idle connections stay, and the process has seen the jump.
        let deadline = Instant::now() + SECOND * 5;
        loop {
            assert_eq!(idle.exchange(GET).unwrap().status, 200);
            if logged_days(&evenkeel) == Some(days) {
                break;
            }
            assert!(Instant::now() < deadline, "the jump is not seen: {:?} days in\n{}", logged_days(&evenkeel), evenkeel.stdout());
            thread::sleep(SECOND / 50);
        }
        begun.send(&GET[20..]).unwrap();
        assert_eq!(begun.response("GET").unwrap().status, 200, "the head was not late");
        uploading.send(&[b'x'; 99_996]).unwrap();
        assert_eq!(uploading.response("POST").unwrap().status, 200, "nor the body");
        assert_eq!(waiting.response("GET").unwrap().status, 200, "nor the answer");
        // A deadline that is due still falls.
        assert_eq!(late.response("GET").unwrap().status, 408);
        let took = since.elapsed();
        assert!((SECOND * 3 / 2..SECOND * 4).contains(&took), "{days} days: after {took:?}");
        let status = testkit::client::exchange(
            evenkeel.admin(),
            format!("GET /status HTTP/1.1\r\nHost: {}\r\n\r\n", evenkeel.admin()).as_bytes(),
        );
        assert_eq!(status.json()["pools"][0]["backends"][0]["health"], "up");
    }
    assert_eq!(evenkeel.metric("evenkeel_panics_total"), 0.0);
    evenkeel.stop();
}
