//! `evenkeel explain`: what would become of a request, and why.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use control::{Query, client};
use serde_json::Value;

use crate::cli::Explain;
use crate::terminal::{self, table};

pub(crate) fn explain(args: &Explain) -> anyhow::Result<ExitCode> {
    let query = Query { method: args.method.clone(), url: args.url.clone(), headers: args.header.clone(), from: args.from };
    let explained = match (args.admin, args.live) {
        (Some(address), _) => client::explain(address, None, &query)?,
        (None, true) => {
            let config = config::load(&args.config)?;
            let Some(admin) = config.admin else {
                terminal::error(&format!("{} has no [admin] table, so there is nobody to ask", args.config.display()));
                terminal::hint("without --live, the file alone is explained");
                return Ok(ExitCode::FAILURE);
            };
            client::explain(admin.listen, admin.token.as_ref().map(config::model::Secret::expose), &query)?
        }
        // The tests in it may fail: finding out why is what this is for.
        (None, false) => control::explain(&config::load(&args.config)?, &query).map_err(anyhow::Error::msg)?,
    };
    if args.json {
        terminal::print_line(&format!("{explained:#}"))?;
    } else {
        let is_colourful = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        terminal::print(&Page { is_colourful, out: String::new() }.render(&explained))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Text under construction.
struct Page {
    is_colourful: bool,
    out: String,
}

impl Page {
    fn render(mut self, explained: &Value) -> String {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.line("request", &text(&explained["request"]));
        let listener = &explained["listener"];
        let note = if listener["has_port"] == true { "" } else { " (the first one: no listener has the port of the URL)" };
        self.line("listener", &format!("{}{note}", text(&listener["name"])));
        let client = &explained["client"];
        if let Some(address) = client["address"].as_str() {
            self.line("client", &format!("{address}, {}", text(&client["why"])));
            self.line("path", &text(&explained["path"]));
        }
        self.routes(&explained["routes"]);
        for (i, filter) in explained["filters"].as_array().into_iter().flatten().enumerate() {
            self.line(if i == 0 { "filters" } else { "" }, &text(filter));
        }
        if let Some(upstream) = explained["upstream"].as_object() {
            self.line("upstream", &text(&upstream["path"]));
            self.fields(&upstream["headers"]);
        }
        self.pool(&explained["pool"]);
        if let Some(t) = explained["timeouts"].as_object() {
            let whole = if t["total_bounds_the_body"] == true { "the body included" } else { "up to the answer's head" };
            let [connect, response, total, idle] = ["connect", "response", "total", "idle"].map(|key| text(&t[key]));
            self.line("timeouts", &format!("connect {connect}, response {response}, total {total} ({whole}), idle {idle}"));
        }
        let answer = &explained["answer"];
        let why = match (explained["ends_in"].as_str(), answer["reason"].as_str()) {
            (_, Some(reason)) => format!(" {reason}"),
            (Some("pool"), None) => ", or whatever the backend says".to_owned(),
            (Some(end), None) => format!(", by `{end}`"),
            _ => String::new(),
        };
        self.line("answer", &format!("{}{why}", answer["status"]));
        self.fields(&answer["headers"]);
        self.out
    }

    /// The route taken and those that came near; of the others their number, where they are many.
    fn routes(&mut self, routes: &Value) {
        let routes: Vec<&Value> = routes.as_array().into_iter().flatten().collect();
        const MOST: usize = 20;
        let shown: Vec<&&Value> = routes.iter().filter(|route| routes.len() <= MOST || route["near"] == true).collect();
        for (i, route) in shown.iter().enumerate() {
            let word = |key: &str| route[key].as_str().unwrap_or_default().to_owned();
            let is_taken = route["taken"] == true;
            let text = format!("{} {}: {} ({})", if is_taken { "→" } else { "·" }, word("route"), word("why"), word("match"));
            let text = if is_taken { self.coloured("1;32", &text) } else { self.coloured("2", &text) };
            self.line(if i == 0 { "routes" } else { "" }, &text);
        }
        if shown.len() < routes.len() {
            self.line("", &format!("· {} more serve other hosts or paths", routes.len() - shown.len()));
        }
        if !routes.is_empty() && routes.iter().all(|route| route["taken"] != true) {
            self.line("", "none takes the request");
        }
    }

    fn pool(&mut self, pool: &Value) {
        if pool.is_null() {
            return;
        }
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let why = pool["why"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
        self.line("pool", &format!("{}{why}, {}", word(&pool["name"]), word(&pool["balance"])));
        let rows = pool["candidates"].as_array().into_iter().flatten().map(|backend| {
            let number =
                |key: &str| backend[key].as_f64().map_or_else(|| "-".to_owned(), |n| format!("{}", (n * 1e3).round() / 1e3));
            let address = backend["address"].as_str().unwrap_or("not resolved here").to_owned();
            vec![
                number("order"),
                word(&backend["backend"]),
                address,
                word(&backend["state"]),
                number("weight"),
                number("in_flight"),
                number("latency_ms"),
                number("score"),
            ]
        });
        let rows: Vec<Vec<String>> = rows.collect();
        for line in table(&["#", "backend", "address", "state", "weight", "in flight", "ms", "score"], &rows).lines() {
            self.line("", line);
        }
        for name in pool["unresolved"].as_array().into_iter().flatten() {
            self.line("", &format!("{} has no address", word(name)));
        }
    }

    fn fields(&mut self, fields: &Value) {
        for field in fields.as_array().into_iter().flatten() {
            let text = format!("{}: {}", field[0].as_str().unwrap_or_default(), field[1].as_str().unwrap_or_default());
            self.line("", &self.coloured("2", &text));
        }
    }

    fn line(&mut self, heading: &str, text: &str) {
        let heading = self.coloured("1;36", &format!("{heading:<9}"));
        let line = format!("{heading} {text}");
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn coloured(&self, code: &str, text: &str) -> String {
        if self.is_colourful { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
