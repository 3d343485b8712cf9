"""GOT, Table 1, with the rows of OTJR beside it: MNIST, l-infinity 0.3, one schedule for all."""

from benchmarks.papers.adversarial import table_of
from benchmarks.transport.recipes import MAIN, WITH_SURROGATES

TABLE = table_of("MNIST, l-infinity 0.3 (GOT, Table 1)", {**MAIN, **WITH_SURROGATES})
