"""What asking an upstream takes besides the compiled in-flight table: health, TCP, TLS, resolv.conf."""
