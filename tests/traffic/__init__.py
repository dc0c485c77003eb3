"""Traffic for the tests: readable packets, pcap bytes of them, and a simulation of TCP whose truth is known."""
