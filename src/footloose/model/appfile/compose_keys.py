"""Keys of the Compose specification that a Wasm guest has no use for, and what to do instead.

Source: the Compose specification, https://github.com/compose-spec/compose-spec (services, deploy and top level).
"""

from collections.abc import Mapping

_NO_CONTAINER = ("a Wasm guest has no container", "remove it")
_NO_PROCESS = ("a Wasm guest is called once per request and has no process to manage", "remove it")
_NO_NETWORK = ("a Wasm guest opens no connections", "remove it; users come through the gateway")
_NO_FILES = ("a Wasm guest has no file system", "put what it needs into the module or into `environment`")
_NO_SECRETS = ("a guest has no files to find it in", "pass what is not secret in `environment`")
_NO_CPU_SHARE = ("a guest is limited by time per request, not by processors", "use `x-footloose.limits.time`")
_NO_LABELS = ("labels are carried nowhere", "use a comment, or a key that begins with `x-`")
_NO_REPLICAS = ("copies are made where users are, not in a fixed number", "use `x-footloose.budget.copies`")
_NO_TEMPLATES = ("one file describes the whole app", "write it out, or use a YAML anchor")

SERVICE: Mapping[str, tuple[str, str]] = {
    "ports": ("a Wasm guest opens no ports", "remove it; users come through the gateway: use `x-footloose.route`"),
    "expose": ("a Wasm guest opens no ports", "remove it; users come through the gateway: use `x-footloose.route`"),
    "volumes": _NO_FILES,
    "build": ("nothing is built on deploy", "build the module yourself and give its path: `image: ./web.wasm`"),
    "depends_on": ("guests are started by requests, in no order", "remove it"),
    "command": ("a guest is given no arguments", "use `environment`"),
    "entrypoint": ("a guest's entry point is fixed by its kind", "use `x-footloose.guest`"),
    "env_file": ("variables are written in the app file, so that it says all", "use `environment`"),
    "extends": _NO_TEMPLATES,
    "scale": _NO_REPLICAS,
    "runtime": ("the runtime follows from the image", "remove it"),
    "provider": ("other providers of services are not called", "remove it"),
    "profiles": ("all services of a file are deployed", "use a file of its own for what is not always wanted"),
    "logging": ("guests log through Footloose", "remove it; read logs with `footloose logs`"),
    "secrets": _NO_SECRETS,
    "configs": _NO_SECRETS,
    "restart": _NO_PROCESS,
    "healthcheck": ("a site watches its own workers", "remove it"),
    "networks": _NO_NETWORK,
    "links": _NO_NETWORK,
    "labels": _NO_LABELS,
    "annotations": _NO_LABELS,
    "label_file": _NO_LABELS,
    "pull_policy": ("modules are read from disk", "remove it"),
    **dict.fromkeys(
        (
            "cpus",
            "cpu_count",
            "cpu_percent",
            "cpu_shares",
            "cpu_period",
            "cpu_quota",
            "cpu_rt_period",
            "cpu_rt_runtime",
        ),
        _NO_CPU_SHARE,
    ),
    **dict.fromkeys(("tmpfs", "volumes_from", "working_dir", "read_only", "storage_opt", "shm_size"), _NO_FILES),
    **dict.fromkeys(
        ("dns", "dns_opt", "dns_search", "domainname", "external_links", "extra_hosts", "hostname", "mac_address"),
        _NO_NETWORK,
    ),
    **dict.fromkeys(
        ("attach", "init", "pid", "pids_limit", "post_start", "pre_stop", "stdin_open", "stop_grace_period"),
        _NO_PROCESS,
    ),
    **dict.fromkeys(("stop_signal", "tty", "user", "group_add"), _NO_PROCESS),
    **dict.fromkeys(
        (
            *("blkio_config", "cap_add", "cap_drop", "cgroup", "cgroup_parent", "container_name", "cpuset"),
            *("credential_spec", "develop", "device_cgroup_rules", "devices", "driver_opts", "gpus", "ipc"),
            *("isolation", "mem_reservation", "mem_swappiness", "memswap_limit", "models", "network_mode"),
            *("oom_kill_disable", "oom_score_adj", "privileged", "security_opt", "sysctls", "ulimits"),
            *("use_api_socket", "userns_mode", "uts"),
        ),
        _NO_CONTAINER,
    ),
}

DEPLOY: Mapping[str, tuple[str, str]] = {
    "replicas": _NO_REPLICAS,
    "mode": _NO_REPLICAS,
    "placement": ("placement is by users", "use `x-footloose.where` and `x-footloose.placement`"),
    "labels": _NO_LABELS,
    "endpoint_mode": _NO_NETWORK,
    "restart_policy": _NO_PROCESS,
    "rollback_config": _NO_PROCESS,
    "update_config": _NO_PROCESS,
}

RESOURCES: Mapping[str, tuple[str, str]] = {"reservations": ("nothing is set aside for a guest", "use `limits`")}

LIMITS: Mapping[str, tuple[str, str]] = {"cpus": _NO_CPU_SHARE, "pids": _NO_PROCESS}

TOP_LEVEL: Mapping[str, tuple[str, str]] = {
    "networks": _NO_NETWORK,
    "volumes": _NO_FILES,
    "secrets": _NO_SECRETS,
    "configs": _NO_SECRETS,
    "models": _NO_CONTAINER,
    "include": _NO_TEMPLATES,
}
