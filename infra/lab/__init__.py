"""The product's own laboratory: real TCP over an impaired path, captured outside the hosts, with the truth from inside.

Two hosts are network namespaces; between them frames pass a relay that has a rate, a queue, a delay and losses. What a
hypervisor would see is captured at a host's port. The sending kernel's own account (``TCP_INFO``, sampled every 5 ms)
says what really held each flow back. Needs root, Linux, iproute2, ethtool and tcpdump; nothing leaves the namespaces.

    scenarios  what runs, as data            topology  namespaces, links, bridges
    script     what an application does      relay     the impaired path
    endpoint   one end's sockets, sampled    capture   tcpdump at a port
    tcp_info   the kernel's structure        truth     samples -> shares
    run        one scenario from start to end
"""
