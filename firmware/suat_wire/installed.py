"""What of the link a board carries: all but these files, which only a host needs. The manifest, bundles, the simulator
and the tests go by this list."""

HOST_ONLY = (
    "aes_host.py",
    "commands_host.py",
    "control_host.py",
    "document.py",
    "installed.py",
    "lorawan_host.py",
    "payload_host.py",
    "region_host.py",
    "selftest.py",
)
