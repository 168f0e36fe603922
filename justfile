# Phase 18 from the command line; lab 18 says at its end what for. `make book` sets up the environment
# that these use.

seed := env("seed", "42")
weight_decay := env("weight_decay", "")
variant := env("variant", "control")

name := if weight_decay =~ '^0*\.?0+$' { "18-break-wd0" } else { "18-" + variant }
decay := if weight_decay == "" { "" } else { "--set optimizer.weight_decay=" + weight_decay }

# Train a variant of experiment 18 and leave a link to the run in experiments/
phase-18-train:
    .venv/bin/minitrain train experiments/18-the-run-that-remembers --variant {{variant}} \
        --set seed={{seed}} {{decay}} --link experiments/{{name}}

# Overlay two runs on dashboard-compare.html
phase-18-compare left right:
    .venv/bin/minitrain compare {{left}} {{right}} -o dashboard-compare.html
