"""The command line and the settings of tcpblame; everything it does lives in ingest, streams and sinks."""
