"""The application that is killed: ``SEED LOOP``. Light, since every rank of the fork server imports it anew."""

import sys

if __name__ == "__main__":
    from tests.chaos.murder import be_killed

    be_killed(int(sys.argv[1]), sys.argv[2])
