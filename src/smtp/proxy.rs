//! The PROXY protocol, versions 1 and 2: who connected to the balancer in front of us.
